"""Which tests share a process, and the Bazel rules of those processes.

To load TensorFlow takes longer than most tests do. So Bazel runs the test
files of an area in one process, as pytest runs all of them; the target of one
file is there for whoever wants no other.

A file belongs to the area of the code that it is named after
(`tests/vae_test.py` to that of `lc_keras/models/vae.py`), or to the group that
a comment line of it names, `# bazel group: <name>`. There is no need to be in
one: a file that is named after nothing, or that says `alone`, has a process of
its own.
"""

import pathlib
import re
from collections.abc import Iterable

# The file that runs the tests of a group.
MAIN = pathlib.PurePath("tests/group.py")
# Where a test's code may lie, and its area: the first folder that has it.
_AREAS = (
  ("lc_keras/models", "models"),
  ("lc_keras", "library"),
  ("trainers", "trainers"),
  ("serving", "serving"),
)
_ALONE = "alone"


def group(
  path: pathlib.PurePath, text: str, code: Iterable[pathlib.PurePath]
) -> str | None:
  """Returns the group of a test file; None if it has none.

  Args:
    path: Where it lies, from the root folder.
    text: What is in it.
    code: Where all Python files lie.
  """
  said = re.search(r"^# bazel group: (\w+)$", text, re.MULTILINE)
  if said:
    return None if said[1] == _ALONE else said[1]
  name = path.stem.removesuffix("_test")
  folders = {file.parent for file in code if file.stem == name}
  folders |= {file.parent for file in code if file.parent.name == name}
  for folder, area in _AREAS:
    folder = pathlib.PurePath(folder)
    if any(folder in (one, *one.parents) for one in folders):
      return area
  return None


def target(name: str) -> str:
  """Returns the name of the target that runs a group."""
  return f"{name}_tests"
