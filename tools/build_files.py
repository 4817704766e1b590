"""Derives the BUILD files from the Python imports.

One py_library a file, one py_test a test file, one py_test a group of them
(see test_groups), and nothing to keep by hand:

  deps   the project's modules that the file imports, or names in a string to
         run them ("trainers.vae", or f"trainers.{job}" for any of them); the
         `__init__.py` of every package on the way; and, as a comment, what
         .venv supplies;
  data   for `__init__.py`, whatever else lies in its package; for any file,
         what a string of it names in the root folder or in configs/, and the
         targets in a comment line `# bazel data: ...`;
  size   large for a test that loads TensorFlow, else small: on a busy machine
         the trainers' tests take more than the five minutes of a medium one;
  tags   manual for a test file that its group runs: `//tests/...` leaves it
         out.

`python -m tools.build_files` writes the files, `--check` only compares.
"""

import argparse
import ast
import dataclasses
import difflib
import functools
import pathlib
import re
import sys
from collections.abc import Iterable, Iterator

from tools import test_groups

CODE = (
  "benchmarks",
  "bulk",
  "examples",
  "lc_keras",
  "serving",
  "tests",
  "tools",
  "trainers",
)

# Imports whose distribution has another name (`_` and `-` are the same).
_DISTRIBUTIONS = {
  "PIL": "pillow",
  "absl": "absl-py",
  "google.protobuf": "protobuf",
  "grpc": "grpcio",
  "grpc_health": "grpcio-health-checking",
  "sklearn": "scikit-learn",
  "tensorflow_serving": "tensorflow-serving-api",
  "yaml": "pyyaml",
}

_HEADER = """\
# Written by `make build-files` from the imports; do not edit.
package(default_visibility = ["//visibility:public"])
"""

_SOURCES = """
# Everything in this folder, for the test that compares it with this file.
filegroup(
    name = "sources",
    srcs = glob(
        ["**"],
        exclude = ["**/__pycache__/**"],
    ),
)
"""


@dataclasses.dataclass
class _File:
  """What one Python file needs; `modules` and `inits` are paths."""

  path: pathlib.PurePath
  modules: set[pathlib.PurePath]
  inits: set[pathlib.PurePath]
  pip: set[str]
  data: set[str]
  group: str | None


class Workspace:
  """The code below a folder, and the BUILD files that it should have."""

  def __init__(self, root: pathlib.Path):
    self.root = root
    paths = sorted(
      path.relative_to(root)
      for folder in CODE
      for path in (root / folder).rglob("*.py")
    )
    self._modules = {_module(path): path for path in paths}
    self.files = {path: self._read(path) for path in paths}
    self._break_cycles()

  def build_files(self) -> dict[pathlib.PurePath, str]:
    """Returns path -> text of every BUILD file that the code calls for."""
    folders = sorted({path.parent for path in self.files})
    texts = {folder / "BUILD": self._package(folder) for folder in folders}
    configs = pathlib.PurePath("configs")
    texts[configs / "BUILD"] = _HEADER + (
      '\nfilegroup(\n    name = "configs",\n'
      '    srcs = glob(["**/*.cfg"]),\n)\n' + _SOURCES
    )
    packages = [folder.as_posix() for folder in [*folders, configs]]
    texts[pathlib.PurePath("BUILD")] = self._root_package(sorted(packages))
    return texts

  def differences(self) -> Iterator[tuple[pathlib.PurePath, str, str]]:
    """Yields path, present text and right text of every wrong BUILD file.

    A BUILD file that should not be there has the right text "".
    """
    wanted = self.build_files()
    present = {
      path.relative_to(self.root)
      for folder in (*CODE, "configs")
      for path in (self.root / folder).rglob("BUILD")
    }
    for path in sorted(present | set(wanted)):
      file = self.root / path
      text = file.read_text() if file.is_file() else ""
      if text != wanted.get(path, ""):
        yield path, text, wanted.get(path, "")

  def distributions(self) -> dict[str, set[pathlib.PurePath]]:
    """Returns what .venv must supply -> the files that import it."""
    users = {}
    for file in self.files.values():
      for name in file.pip:
        users.setdefault(name, set()).add(file.path)
    return users

  def _read(self, path: pathlib.PurePath) -> _File:
    text = (self.root / path).read_text()
    group = None
    if _is_test(path) and (self.root / test_groups.MAIN).exists():
      group = test_groups.group(path, text, self._modules.values())
    file = _File(path, set(), set(), set(), set(), group)
    strings, prefixes = set(), set()
    for node in ast.walk(ast.parse(text, str(path))):
      if isinstance(node, ast.Import):
        for alias in node.names:
          self._import(file, alias.name)
      elif isinstance(node, ast.ImportFrom):
        if node.level:
          raise ValueError(
            f"{path}:{node.lineno}: a relative import; write the whole name."
          )
        for alias in node.names:
          self._import(file, node.module, alias.name)
      elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        strings.add(node.value)
      elif isinstance(node, ast.JoinedStr):
        prefixes.add(getattr(node.values[0], "value", None))
    for module, other in self._modules.items():
      package = module.rpartition(".")[0]
      if "." in module and (module in strings or f"{package}." in prefixes):
        file.modules.add(other)
        file.inits.update(self._inits(module))
    for string in strings:
      file.data.update(self._named_data(path, string))
    for line in re.findall(r"^# bazel data: (.*)$", text, re.MULTILINE):
      file.data.update(line.split())
    file.inits.update(self._inits(_module(path)))
    file.modules.discard(path)
    file.inits -= {path, *file.modules}
    return file

  def _import(self, file: _File, module: str, name: str = ""):
    """Adds `import module`, or `from module import name`, to the file."""
    top = module.split(".")[0]
    if top in CODE:
      full = f"{module}.{name}" if name else module
      found = full if full in self._modules else module
      file.inits.update(self._inits(found))
      if found in self._modules:
        file.modules.add(self._modules[found])
      elif not (self.root / found.replace(".", "/")).is_dir():
        raise ValueError(f"{file.path} imports {full}, which does not exist.")
    elif top not in sys.stdlib_module_names:
      longest = f"{top}.{name}" if module == top and name else module
      parts = longest.split(".")
      known = (
        _DISTRIBUTIONS.get(".".join(parts[:n]))
        for n in range(len(parts), 0, -1)
      )
      file.pip.add(next(filter(None, known), top.replace("_", "-")))

  def _inits(self, module: str) -> set[pathlib.PurePath]:
    """Returns the `__init__.py` files that importing a module also runs."""
    parts = module.split(".")
    packages = [".".join(parts[:n]) for n in range(1, len(parts))]
    return {self._modules[name] for name in packages if name in self._modules}

  def _named_data(self, path: pathlib.PurePath, string: str) -> set[str]:
    """Returns the labels of the data that a string of a file may name."""
    if path.parts[0] == "tools":
      return set()  # They write such names into BUILD files.
    if not re.fullmatch(r"[\w.-]+(/[\w.-]*)*", string) or string in (".", ".."):
      return set()
    if string.split("/")[0] == "configs":
      return {"//configs"}
    if string.endswith((".py", "BUILD")):
      return set()
    in_root = "/" not in string and "." in string
    if in_root and (self.root / string).is_file():
      return {f"//:{string}"}
    return set()

  def _package_data(self, folder: pathlib.PurePath) -> list[str]:
    """Returns what lies in a package besides code, relative to it."""
    top = self.root / folder
    packages = {self.root / path.parent for path in self.files}
    inner = {package for package in packages if top in package.parents}
    return sorted(
      path.relative_to(top).as_posix()
      for path in top.rglob("*")
      if path.is_file()
      and path.suffix not in (".py", ".pyc")
      and path.name != "BUILD"
      and inner.isdisjoint(path.parents)
    )

  def _reach(self, path: pathlib.PurePath) -> set[pathlib.PurePath]:
    """Returns the files that importing a file loads, without itself."""
    seen, front = set(), [path]
    while front:
      file = self.files[front.pop()]
      new = (file.modules | file.inits) - seen
      seen |= new
      front.extend(new)
    return seen - {path}

  def _break_cycles(self):
    """Leaves out a package's `__init__.py` where that imports the file itself.

    Python has it half loaded by then; Bazel takes no cycles. Whoever imports
    the file still depends on both.
    """
    inits = {init for file in self.files.values() for init in file.inits}
    loads = {init: self._reach(init) for init in inits}
    for file in self.files.values():
      file.inits -= {init for init in inits if file.path in loads[init]}

  def _package(self, folder: pathlib.PurePath) -> str:
    files = [file for file in self.files.values() if file.path.parent == folder]
    rules = [*map(self._rule, files), *self._groups(files)]
    return _HEADER + "".join(rules) + _SOURCES

  def _groups(self, files: list[_File]) -> Iterator[str]:
    """Yields the rules that run several test files of one folder each."""
    groups = {}
    for file in files:
      if file.group:
        groups.setdefault(file.group, []).append(file.path)
    main = test_groups.MAIN
    for name, paths in sorted(groups.items()):
      runner = self.files[main]
      labels = [_label(path, main.parent) for path in paths]
      labels += [
        _label(path, main.parent) for path in runner.modules | runner.inits
      ]
      lines = [
        f"    name = {_quote(test_groups.target(name))},",
        '    size = "large",',
        f"    srcs = [{_quote(main.name)}],",
        f"    args = {_list([_module(path) for path in paths])},",
        f"    main = {_quote(main.name)},",
        f"    deps = {_list(_sorted(labels), sorted(runner.pip))},",
      ]
      yield "\n".join(["", "py_test(", *lines, ")", ""])

  def _rule(self, file: _File) -> str:
    path = file.path
    is_test = _is_test(path)
    lines = [f"    name = {_quote(_target(path))},"]
    if is_test:
      loaded = [file, *(self.files[other] for other in self._reach(path))]
      slow = any("tensorflow" in other.pip for other in loaded)
      lines.append(f'    size = "{"large" if slow else "small"}",')
    lines.append(f"    srcs = [{_quote(path.name)}],")
    if file.group:
      lines.append('    tags = ["manual"],')
    data = sorted(file.data)
    if path.name == "__init__.py":
      data += self._package_data(path.parent)
    if data:
      lines.append(f"    data = {_list(data)},")
    labels = (_label(other, path.parent) for other in file.modules | file.inits)
    deps = _sorted(labels)
    if deps or file.pip:
      lines.append(f"    deps = {_list(deps, sorted(file.pip))},")
    kind = "py_test" if is_test else "py_library"
    return "\n".join(["", f"{kind}(", *lines, ")", ""])

  def _root_package(self, packages: list[str]) -> str:
    named = {
      label.removeprefix("//:")
      for file in self.files.values()
      for label in file.data
      if label.startswith("//:")
    }
    locks = {"requirements-beam.lock", "requirements.lock"}
    exported = sorted({*locks, *named} - {"sources"})
    sources = [
      "BUILD",
      "requirements-beam.lock",
      "requirements.lock",
      "setup.py",
    ]
    sources += [f"//{package}:sources" for package in packages]
    return _HEADER + (
      f"\nexports_files({_list(exported, indent=0)})\n"
      "\n# What the test of the BUILD files reads.\n"
      f'filegroup(\n    name = "sources",\n    srcs = {_list(sources)},\n)\n'
    )


def _module(path: pathlib.PurePath) -> str:
  parts = path.with_suffix("").parts
  return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_test(path: pathlib.PurePath) -> bool:
  return path.name.endswith("_test.py")


def _target(path: pathlib.PurePath) -> str:
  return path.parent.name if path.name == "__init__.py" else path.stem


def _label(path: pathlib.PurePath, folder: pathlib.PurePath) -> str:
  if path.parent == folder:
    return f":{_target(path)}"
  package = f"//{path.parent.as_posix()}"
  return package if path.name == "__init__.py" else f"{package}:{path.stem}"


def _sorted(labels: Iterable[str]) -> list[str]:
  """Returns labels, those of their own folder first."""
  return sorted(labels, key=lambda label: (not label.startswith(":"), label))


def _quote(string: str) -> str:
  return f'"{string}"'


def _list(items: list[str], comments: list[str] = (), indent: int = 4) -> str:
  """Returns a Starlark list as buildifier writes it."""
  if len(items) == 1 and not comments:
    return f"[{_quote(items[0])}]"
  lines = [f"{_quote(item)}," for item in items]
  lines += [f"# pip: {name}" for name in comments]
  inner = "".join(f"\n{' ' * (indent + 4)}{line}" for line in lines)
  return f"[{inner}\n{' ' * indent}]"


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument(
    "--check", action="store_true", help="change nothing; exit 1 if wrong"
  )
  check = parser.parse_args().check
  workspace = Workspace(pathlib.Path(__file__).resolve().parents[1])
  differences = list(workspace.differences())
  for path, present, right in differences:
    file = workspace.root / path
    if check:
      print(diff(path, present, right))
    elif right:
      file.write_text(right)
      print(f"wrote {path}")
    else:
      file.unlink()
      print(f"removed {path}")
  if check and differences:
    sys.exit("The BUILD files do not agree with the imports: make build-files")


def diff(path: pathlib.PurePath, present: str, right: str) -> str:
  """Returns a unified diff from the present text of a file to the right one."""
  line = functools.partial(str.splitlines, keepends=True)
  return "".join(
    difflib.unified_diff(
      line(present), line(right), f"{path}", f"{path} (right)"
    )
  )


if __name__ == "__main__":
  main()
