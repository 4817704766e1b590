"""Runs the linter and the tests of each change: `make check`.

Those are the area `quick`, which needs no TensorFlow, and the tests named after
files that differ from the main branch: tests/vae_test.py after any vae.py.
"""

import ast
import pathlib
import subprocess
import sys
from collections.abc import Iterable

from tools import run_tests

_ROOT = pathlib.Path(__file__).resolve().parents[1]


def changed_files(root: pathlib.Path) -> list[str]:
  """Returns the files of a git checkout that differ from the main branch."""
  for main in ("origin/main", "main", "HEAD"):
    base = _git(root, "merge-base", "HEAD", main)
    if base:
      break
  new = _git(root, "ls-files", "--others", "--exclude-standard")
  return [*_git(root, "diff", "--name-only", *base), *new]


def tests_of(files: Iterable[str], root: pathlib.Path) -> list[str]:
  """Returns the test files that are among files, or are named after one."""
  stems = {pathlib.PurePath(file).stem.removesuffix("_test") for file in files}
  tests = (f"tests/{stem}_test.py" for stem in sorted(stems))
  return [test for test in tests if (root / test).exists()]


def quick_tests(build_file: str) -> list[str]:
  """Returns the test files of the area `quick`, in the text of tests/BUILD.

  Python can parse it.
  """
  for call in ast.walk(ast.parse(build_file)):
    if isinstance(call, ast.Call):
      given = {word.arg: word.value for word in call.keywords}
      name = given.get("name")
      if isinstance(name, ast.Constant) and name.value == "quick":
        names = ast.literal_eval(given["tests"])
        return [f"tests/{name}.py" for name in names]
  raise ValueError("tests/BUILD has no area of the name quick.")


def _git(root, *arguments):
  done = subprocess.run(
    ["git", *arguments], cwd=root, capture_output=True, text=True
  )
  return [] if done.returncode else done.stdout.splitlines()


def main():
  quick = quick_tests((_ROOT / "tests/BUILD").read_text(encoding="utf-8"))
  named = tests_of(changed_files(_ROOT), _ROOT)
  python = [sys.executable, "tests/run_area.py", "-q"]
  commands = [[*python, "--without-tensorflow", *quick]]
  named = [test for test in named if test not in quick]
  if named:
    print("Tests of changed files:", *named, flush=True)
    commands.append([*python, *named])
  failed = run_tests.lint(_ROOT)
  for command in commands:
    failed += bool(subprocess.run(command, cwd=_ROOT).returncode)
  sys.exit(bool(failed))


if __name__ == "__main__":
  main()
