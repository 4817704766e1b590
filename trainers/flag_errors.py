"""Reads flags; one sentence for a flag that cannot be read."""

import re
import sys
from collections.abc import Sequence

from absl import flags

from lc_keras import spelling


def parse(arguments: Sequence[str]) -> list[str]:
  """Returns the arguments that are no flags; sets `flags.FLAGS`.

  For `app.run(..., flags_parser=parse)`. Exits with a sentence for a flag that
  is unknown, missing or has a value that it does not take.

  Args:
    arguments: As `sys.argv`.
  """
  try:
    return flags.FLAGS(arguments)
  except flags.UnrecognizedFlagError as error:
    known = [name for name in flags.FLAGS if len(name) > 1]
    near = spelling.nearest(error.flagname, known)
    told = f"There is no flag --{error.flagname}{'; ' if near else '.'}{near}"
  except flags.Error as error:
    told = str(error)
    missing = re.fullmatch(
      r"flag --(\w+)=None: Flag --\w+ must have a value other than None\.", told
    )
    if missing:
      about = flags.FLAGS[missing[1]].help
      told = f"The flag --{missing[1]} is required. {about}"
  sys.exit(f"Error: {told} --help lists the flags.")
