"""Checks that a server can serve an export.

python -m serving.check runs/demo/export/1
"""

import os
import sys

from absl import app
from absl import logging

from trainers import flag_errors


def _run(argv):
  if len(argv) != 2:
    raise app.UsageError("Give the folder of one SavedModel.")
  # Legacy Keras, as in the server, loads two seconds faster than Keras 3.
  os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
  from serving import validation  # Loads TensorFlow: not for `--help`.

  logging.set_verbosity(logging.ERROR)
  try:
    count = validation.check(argv[1])
  except validation.ValidationError as error:
    sys.exit(f"Error: {error}")
  print(f"{argv[1]}: {count} answers are as they should be.")


def main() -> None:
  """Runs the program."""
  app.run(_run, flags_parser=flag_errors.parse)


if __name__ == "__main__":
  main()
