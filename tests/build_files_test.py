"""Tests that BUILD files and imports agree, and that a gap would be seen."""

# bazel data: //:sources

import graphlib
import pathlib
import re

from absl.testing import absltest
from absl.testing import parameterized

from tools import build_files

_ROOT = pathlib.Path(__file__).parents[1]
_NOT_INSTALLED = ("benchmarks", "examples", "tests", "tools")


def _names(text: str) -> set[str]:
  """Returns the distributions that lines of requirements name."""
  found = re.findall(r'(?:^|")([\w.-]+)(?:\[\w+\])?[=>]', text, re.M)
  return {name.lower().replace("_", "-") for name in found}


class RepositoryTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.workspace = build_files.Workspace(_ROOT)

  def test_build_files_agree_with_the_imports(self):
    found = "".join(
      build_files.diff(*row) for row in self.workspace.differences()
    )
    self.assertEmpty(found, f"run `make build-files`:\n{found}")

  def test_every_python_file_has_a_target(self):
    for path in self.workspace.files:
      with self.subTest(path=str(path)):
        text = (_ROOT / path.parent / "BUILD").read_text()
        name = path.parent.name if path.stem == "__init__" else path.stem
        own = rf'"{name}",\n(?:    size = .*\n)?    srcs = \["{path.name}"\]'
        self.assertLen(re.findall(own, text), 1)

  def test_bazel_finds_no_cycle(self):
    files = self.workspace.files
    graph = {path: one.modules | one.inits for path, one in files.items()}
    graphlib.TopologicalSorter(graph).prepare()  # Raises CycleError.

  def test_all_tests_run_each_test_file_once(self):
    text = (_ROOT / "tests" / "BUILD").read_text()
    run = []
    for rule in re.findall(r"^py_test\(\n(.*?)^\)", text, re.M | re.S):
      if '"manual"' not in rule:
        run += re.findall(r'"tests\.(\w+)",\n', rule) or re.findall(
          r'srcs = \["(\w+)\.py"\]', rule
        )
    files = [path.stem for path in (_ROOT / "tests").glob("*_test.py")]
    self.assertCountEqual(run, files)

  def test_every_installed_folder_is_a_package(self):
    for path in self.workspace.files:
      if path.parts[0] not in _NOT_INSTALLED:
        with self.subTest(path=str(path)):
          self.assertTrue((_ROOT / path.parent / "__init__.py").exists())

  def test_the_lock_holds_every_import(self):
    locked = set()
    for name in ("requirements.lock", "requirements-beam.lock"):
      locked |= _names((_ROOT / name).read_text())
    peers = _ROOT / "benchmarks" / "peers_torch"
    for_peers = _names((peers / "requirements.lock").read_text())
    for name, users in self.workspace.distributions().items():
      with self.subTest(name=name):
        elsewhere = {path for path in users if peers.name not in path.parts}
        self.assertTrue(not elsewhere or name in locked, elsewhere)
        self.assertTrue(users == elsewhere or name in for_peers, users)

  def test_setup_requires_every_import_of_what_it_installs(self):
    required = _names((_ROOT / "setup.py").read_text())
    for name, users in self.workspace.distributions().items():
      installed = [p for p in users if p.parts[0] not in _NOT_INSTALLED]
      with self.subTest(name=name):
        self.assertTrue(not installed or name in required, installed)

  def test_setup_installs_commands_that_exist(self):
    text = (_ROOT / "setup.py").read_text()
    commands = re.findall(r'"[\w-]+ = ([\w.]+):(\w+)"', text)
    self.assertNotEmpty(commands)
    for module, function in commands:
      with self.subTest(module=module):
        path = (_ROOT / module.replace(".", "/")).with_suffix(".py")
        self.assertIn(f"\ndef {function}() -> None:\n", path.read_text())


class WorkspaceTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)
    self._write("lc_keras/__init__.py", "from lc_keras import version\n")
    self._write("lc_keras/version.py", "")
    self._write("lc_keras/losses.py", "import numpy as np\nimport math\n")
    self._write("lc_keras/models/__init__.py", "")
    self._write("lc_keras/models/vae.py", "from lc_keras import losses\n")
    self._write("configs/tiny/vae.cfg", "--batch_size=3\n")

  def _write(self, path: str, text: str):
    path = self.root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

  def _build(self):
    for path, _, right in build_files.Workspace(self.root).differences():
      (self.root / path).write_text(right)

  def _differences(self) -> list[str]:
    differences = build_files.Workspace(self.root).differences()
    return [str(path) for path, _, _ in differences]

  def _rule(self, package: str, name: str) -> str:
    text = (self.root / package / "BUILD").read_text()
    return re.search(
      rf'^\w+\(\n    name = "{name}",\n.*?^\)', text, re.M | re.S
    )[0]

  def test_what_was_written_agrees(self):
    self._build()
    self.assertEmpty(self._differences())

  @parameterized.parameters(
    "from lc_keras import losses\nfrom lc_keras import version\n",  # missing
    "",  # superfluous
    "from lc_keras import losses\n\n\ndef f():\n  import scipy\n",  # pip
    "from lc_keras import losses\n\nCONFIG = 'configs/tiny/vae.cfg'\n",  # data
  )
  def test_a_changed_import_is_a_difference(self, text):
    self._build()
    self._write("lc_keras/models/vae.py", text)
    self.assertEqual(self._differences(), ["lc_keras/models/BUILD"])

  def test_new_and_lost_files_are_differences(self):
    self._build()
    self._write("trainers/vae.py", "from lc_keras.models import vae\n")
    (self.root / "lc_keras/losses.py").rename(self.root / "lc_keras/priors.py")
    self._write("lc_keras/models/vae.py", "from lc_keras import priors\n")
    self.assertEqual(
      self._differences(),
      ["BUILD", "lc_keras/BUILD", "lc_keras/models/BUILD", "trainers/BUILD"],
    )

  def test_deps_are_imports_and_the_packages_on_the_way(self):
    self._build()
    self.assertEqual(
      self._rule("lc_keras/models", "vae"),
      'py_library(\n    name = "vae",\n    srcs = ["vae.py"],\n'
      '    deps = [\n        ":models",\n        "//lc_keras",\n'
      '        "//lc_keras:losses",\n    ],\n)',
    )
    self.assertIn("# pip: numpy", self._rule("lc_keras", "losses"))

  def test_a_package_that_imports_its_module_makes_no_cycle(self):
    self._build()
    self.assertIn(":version", self._rule("lc_keras", "lc_keras"))
    self.assertNotIn("deps", self._rule("lc_keras", "version"))

  def test_a_module_named_in_a_string_is_a_dep(self):
    self._write("trainers/vae.py", "")
    self._write("trainers/demo.py", "JOB = f'trainers.{__name__}'\n")
    self._write("tests/vae_test.py", "COMMAND = ['-m', 'trainers.vae']\n")
    self._build()
    self.assertIn('"//trainers:vae"', self._rule("tests", "vae_test"))
    self.assertIn('deps = [":vae"]', self._rule("trainers", "demo"))

  def test_a_string_that_is_no_command_is_no_dep(self):
    self._write("trainers/vae.py", "")
    self._write("trainers/runs.py", "A = 'trainers.', 'trainers.vae stops'\n")
    self._build()
    self.assertNotIn("deps", self._rule("trainers", "runs"))

  def test_data_of_a_package_come_with_its_init(self):
    self._write("lc_keras/models/bank.npz", "")
    self._write("lc_keras/models/templates/page.html", "")
    self._build()
    self.assertIn(
      'data = [\n        "bank.npz",\n        "templates/page.html",\n    ]',
      self._rule("lc_keras/models", "models"),
    )
    self.assertNotIn("data", self._rule("lc_keras", "lc_keras"))

  def test_a_string_that_names_a_file_is_data(self):
    self._write("NEWS.md", "")
    self._write(
      "tests/news_test.py", "A = 'NEWS.md', 'configs/tiny', 'no.md'\n"
    )
    self._build()
    self.assertIn(
      'data = [\n        "//:NEWS.md",\n        "//configs",\n    ]',
      self._rule("tests", "news_test"),
    )
    self.assertIn('"NEWS.md"', (self.root / "BUILD").read_text())

  def test_a_test_that_loads_tensorflow_has_more_time(self):
    self._write("lc_keras/priors.py", "import tensorflow as tf\n")
    self._write("tests/priors_test.py", "from lc_keras import priors\n")
    self._write("tests/losses_test.py", "from lc_keras import losses\n")
    self._build()
    self.assertIn('size = "large"', self._rule("tests", "priors_test"))
    self.assertIn('size = "small"', self._rule("tests", "losses_test"))

  def _group(self, name: str) -> list[str]:
    """Returns the tests of a group."""
    return re.findall(r'"tests\.(\w+)"', self._rule("tests", name))

  def test_tests_of_an_area_share_a_process(self):
    self._write("lc_keras/datasets/faces/__init__.py", "")
    self._write("trainers/vae.py", "")
    self._write("tests/group.py", "")
    for name in ("vae", "losses", "faces", "whole"):
      self._write(f"tests/{name}_test.py", "")
    self._build()
    self.assertEqual(self._group("models_tests"), ["vae_test"])
    self.assertEqual(
      self._group("library_tests"), ["faces_test", "losses_test"]
    )
    self.assertIn('tags = ["manual"]', self._rule("tests", "vae_test"))
    # Named after nothing.
    self.assertNotIn("manual", self._rule("tests", "whole_test"))

  def test_a_test_says_in_which_process_it_runs(self):
    self._write("tests/group.py", "")
    self._write("tests/vae_test.py", "# bazel group: alone\n")
    self._write("tests/whole_test.py", "# bazel group: big\n")
    self._write("tests/losses_test.py", "# bazel group: big\n")
    self._build()
    self.assertNotIn("manual", self._rule("tests", "vae_test"))
    self.assertEqual(self._group("big_tests"), ["losses_test", "whole_test"])

  def test_an_import_of_nothing_is_an_error(self):
    self._write("lc_keras/bank.py", "import lc_keras.lossses\n")
    with self.assertRaisesRegex(ValueError, "bank.py imports lc_keras.lossses"):
      build_files.Workspace(self.root)

  def test_a_relative_import_is_an_error(self):
    self._write("lc_keras/bank.py", "from . import losses\n")
    with self.assertRaisesRegex(ValueError, "bank.py:1: a relative import"):
      build_files.Workspace(self.root)


if __name__ == "__main__":
  absltest.main()
