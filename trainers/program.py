"""The main function of every job: flags, messages and exit codes."""

import pathlib
import sys
import traceback
from collections.abc import Callable

from absl import app
from absl import flags
from absl import logging

from lc_keras import preset
from trainers import cluster
from trainers import config_files
from trainers import flag_errors
from trainers import messages
from trainers import preemption

_CONFIG = (
  "Name of configs, such as celeb_a: --config=NAME is the same as "
  "--flagfile=configs/NAME/<job>.cfg, and --config=NAME/FILE as "
  "--flagfile=configs/NAME/FILE.cfg."
)


def main(
  define_flags: Callable[[flags.FlagValues], None],
  job: Callable[[flags.FlagValues], None],
  again: str = "goes on from the last checkpoint",
) -> None:
  """Runs a job as a program.

  Exits with 1 and one sentence for an error that the user can correct, with 130
  after Ctrl-C, and with 75 after SIGTERM or the loss of another worker.

  Args:
    define_flags: Defines the job's flags.
    job: Runs the job; gets the flags that `define_flags` defined, and no other.
    again: What the same command does after a stop; part of messages.
  """
  settings = flags.FlagValues()
  define_flags(settings)
  flags.FLAGS.append_flag_values(settings)
  flags.DEFINE_string("config", None, _CONFIG, flag_values=flags.FLAGS)
  flags.declare_key_flag("flagfile")
  shown = [*settings, "config"]
  if "run_dir" in settings:
    flags.DEFINE_alias("preset", "run_dir", flag_values=flags.FLAGS)
    shown.append("preset")
  for name in shown:
    # --help lists the key flags of the program.
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
  # "trainers/vae.py", or "lc-keras train vae".
  job_name = pathlib.Path(sys.argv[0]).stem.rpartition(" ")[2]
  try:
    arguments = [*config_files.expand(sys.argv[1:], job_name)]
  except ValueError as error:
    sys.exit(f"Error: {error}")

  def run(arguments):
    # tfds logs every file that it opens, and warns of those it is to write.
    if not flags.FLAGS["verbosity"].present:
      logging.set_verbosity(logging.ERROR)
    settings.mark_as_parsed()
    if len(arguments) > 1:
      raise app.UsageError(f"Not a flag: {' '.join(arguments[1:])}")
    with cluster.leaving():
      _run(job, settings, again)

  app.run(run, [sys.argv[0], *arguments], flags_parser=flag_errors.parse)


def _run(job, settings, again):
  try:
    with preemption.raising():
      cluster.join(settings)
      for name in {"run_dir", "base_run"}.intersection(settings):
        if settings[name].value:
          settings[name].value = preset.writable(settings[name].value)
      job(settings)
      cluster.wait_for_chief()
  except KeyboardInterrupt:
    messages.info(f"\nInterrupted. The same command {again}.")
    sys.exit(130)
  except preemption.Terminated:
    messages.info(f"\nTold to stop by SIGTERM. The same command {again}.")
    raise
  except Exception as error:
    gone = cluster.explain(error)
    if gone is not None:
      messages.info(
        f"\nError: {gone}. Stopped, too; the same command on all machines "
        f"{again}."
      )
      sys.exit(preemption.RESUME_ME)
    told = _message(error, settings, again)
    if told is None:
      raise
    sys.exit(f"Error: {told}")


def _message(error, settings, again):
  """Returns the message for an error that users can correct; None for a bug."""
  if isinstance(error, (FileNotFoundError, ValueError)) and _is_ours(error):
    return str(error)
  damage = _lost_data(error, settings)
  if damage:
    return f"{damage} The same command then {again}."
  told = messages.explain(error)
  return told and (
    f"{told}; the same command then {again}. What was finished is kept."
  )


def _is_ours(error):
  """Whether this project raised the error, so that its text has a remedy."""
  *_, (frame, _) = traceback.walk_tb(error.__traceback__)
  module = frame.f_globals.get("__name__", "")
  return module.startswith(
    ("bulk", "lc_keras", "serving", "trainers", "__main__")
  )


def _lost_data(error, settings):
  """Describes the damage if TensorFlow could not read the run's data set."""
  if "run_dir" not in settings or "tensorflow" not in sys.modules:
    return None
  import tensorflow as tf

  from trainers import runs

  lost = (tf.errors.DataLossError, tf.errors.NotFoundError)
  if not any(isinstance(one, lost) for one in messages.causes(error)):
    return None
  try:
    runs.Run(settings.run_dir, settings.data_dir).verify_data()
  except (FileNotFoundError, ValueError) as damage:
    return str(damage)
  return None
