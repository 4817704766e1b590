"""Says whether a server could serve a SavedModel: loads it, asks it, compares.

  python -m serving.infra_validation runs/demo/export/1

In a process of its own: neither what that has loaded before nor what it loses
is of any account.
"""

import subprocess
import sys

import numpy as np
from absl import app
from absl import logging
from etils import epy

with epy.lazy_imports():
  from serving import recorded
  from serving.server import errors
  from serving.server import interrupts
  from serving.server import predictor
  from serving.server import servables
  from serving.server import warmup

# A search goes many steps, and steps differ in the last bits.
_TOLERANCE = 0.02
_PATIENCE = 600.0


class ValidationError(ValueError):
  """A SavedModel that should not be served."""


def check(folder: str) -> int:
  """Loads a SavedModel and has it answer the requests that come with it.

  Args:
    folder: Of the SavedModel. One that was not exported by us brings no
      answers, and perhaps no requests: these are run, as a server does.

  Returns:
    The number of answers that were compared.

  Raises:
    ValidationError: It cannot be loaded, a request fails, or its answer is not
      what Python answered.
  """
  compared = 0
  try:
    servable = servables.Servable("candidate", 0, folder)
    try:
      warmup.run(servable)
      for request, answers in recorded.read(folder):
        # As the warm-up did: TensorFlow prepares a run that can be stopped
        # apart, for seconds.
        _, outputs = predictor.answer(servable, request, interrupts.Interrupt())
        for name, answer in answers.items():
          signature = request.model_spec.signature_name
          _compare(f"{signature}/{name}", outputs.get(name), answer)
          compared += 1
    finally:
      servable.close()
  except (servables.LoadError, errors.ServingError) as error:
    raise ValidationError(str(error)) from error
  return compared


def check_apart(folder: str) -> None:
  """Does the same in a fresh process.

  Raises:
    ValidationError: As `check`; or the process died, or took too long.
  """
  command = [sys.executable, "-m", "serving.infra_validation", folder]
  try:
    finished = subprocess.run(
      command, capture_output=True, text=True, timeout=_PATIENCE
    )
  except subprocess.TimeoutExpired as error:
    raise ValidationError(
      f"{folder} was not loaded and run within {_PATIENCE:.0f} s."
    ) from error
  if finished.returncode:
    lines = finished.stderr.strip().splitlines() or ["it said nothing"]
    raise ValidationError(
      f"A fresh process could not load and run {folder}: "
      f"{lines[-1].removeprefix('Error: ')}"
    )


def _compare(name, output, answer):
  if output is None or output.shape != answer.shape:
    raise ValidationError(
      f"{name} should have shape {answer.shape}, and has "
      f"{None if output is None else output.shape}."
    )
  if not np.issubdtype(answer.dtype, np.floating):
    return  # Steps, and what hangs by a threshold.
  away = np.abs(output - answer) > _TOLERANCE * (1.0 + np.abs(answer))
  # NaN is away from everything.
  away |= np.isnan(output) != np.isnan(answer)
  if away.any():
    raise ValidationError(
      f"{name} is not what Python answered: {away.sum()} of {away.size} "
      f"numbers are further away than {_TOLERANCE}."
    )


def _run(argv):
  if len(argv) != 2:
    raise app.UsageError("Give the folder of one SavedModel.")
  logging.set_verbosity(logging.ERROR)
  try:
    count = check(argv[1])
  except ValidationError as error:
    sys.exit(f"Error: {error}")
  print(f"{argv[1]}: {count} answers are as they should be.")


def main() -> None:
  """Runs the program."""
  app.run(_run)


if __name__ == "__main__":
  main()
