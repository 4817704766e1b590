"""Lists the presets: trained generators that are loaded by their names.

python -m trainers.presets
"""

import sys

from absl import app

from lc_keras import preset
from trainers import flag_errors


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  try:
    found = preset.presets()
  except OSError as error:
    sys.exit(f"Error: {error}")
  damaged = []
  for name in found:
    try:
      one = found[name]
    except (OSError, ValueError) as error:
      damaged.append(f"Error: {error}")
    else:
      print(f"{one}\n  picture: {one.picture}")
  if not found:
    print(found)
  if damaged:
    sys.exit("\n".join(damaged))


def main() -> None:
  """Runs the program."""
  app.run(_run, flags_parser=flag_errors.parse)


if __name__ == "__main__":
  main()
