"""Tests of the command lc-keras, of --config, and of installed files."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
from unittest import mock

from absl import flags
from absl.testing import absltest
from absl.testing import parameterized

from trainers import command_line
from trainers import config_files
from trainers import vae

_ROOT = pathlib.Path(__file__).parents[1]


def _python(*arguments, cwd=_ROOT, path=_ROOT):
  return subprocess.run(
    [sys.executable, *arguments],
    cwd=cwd,
    env={**os.environ, "PYTHONPATH": str(path)},
    capture_output=True,
    text=True,
  )


def _lc_keras(*arguments):
  return _python("-m", "trainers.command_line", *arguments)


class CommandLineTest(parameterized.TestCase):
  def test_every_program_has_a_command(self):
    programs = {
      ".".join(path.relative_to(_ROOT).with_suffix("").parts)
      for room in ("serving", "trainers")
      for path in (_ROOT / room).rglob("*.py")
      if '__name__ == "__main__"' in path.read_text()
    }
    known = {module for module, _ in command_line.COMMANDS.values()}
    self.assertSameElements(
      {program.removesuffix(".__main__") for program in programs},
      known | {"trainers.command_line"},
    )

  def test_help_lists_all_commands(self):
    done = _lc_keras("--help")
    self.assertEqual(done.returncode, 0, done.stderr)
    for command, (_, line) in command_line.COMMANDS.items():
      self.assertRegex(done.stdout, f"(?m)^  {command} +{line}$")

  @parameterized.parameters("train vae", "serve", "sample")
  def test_a_command_is_its_program(self, command):
    module, _ = command_line.COMMANDS[command]
    by_command = _lc_keras(*command.split(), "--help").stdout
    by_module = _python("-m", module, "--help").stdout
    flags_of = re.compile(r"^  --.*", re.MULTILINE).findall
    self.assertNotEmpty(flags_of(by_command))
    self.assertEqual(flags_of(by_command), flags_of(by_module))
    # The program's docstring.
    self.assertEqual(by_command.splitlines()[0], by_module.splitlines()[0])

  def test_train_without_a_job_is_all_of_them(self):
    with mock.patch.object(command_line, "_run") as run:
      for words in (["train", "--config=celeb_a"], ["train", "vae"]):
        with mock.patch.object(sys, "argv", ["lc-keras", *words]):
          command_line.main()
    self.assertEqual(
      run.call_args_list,
      [mock.call("study", ["--config=celeb_a"]), mock.call("train vae", [])],
    )

  @parameterized.parameters(
    (["smaple"], "no such command: smaple; did you mean sample"),
    (["train", "vea"], "no such command: train vea; did you mean vae"),
  )
  def test_an_unknown_command_is_an_error(self, words, message):
    done = _lc_keras(*words)
    self.assertEqual(done.returncode, 1)
    self.assertIn(message, done.stderr)


def _parsed(arguments):
  values = flags.FlagValues()
  vae.define_flags(values)
  values(["vae", "--run_dir=mine", *arguments])
  given = values.flag_values_dict()
  given.pop("flagfile", None)
  return given


class ConfigTest(parameterized.TestCase):
  def _expand(self, *arguments):
    return [*config_files.expand(arguments, "vae")]

  @parameterized.parameters(
    ("toon_faces", "toon_faces/vae"),
    ("fashion_mnist", "fashion_mnist/vae"),
    ("toon_faces/vae_blurry", "toon_faces/vae_blurry"),
  )
  def test_is_the_same_as_the_flagfile(self, config, file):
    with contextlib.chdir(self.create_tempdir().full_path):
      expanded = self._expand(f"--config={config}", "--steps=7")
    with contextlib.chdir(_ROOT):
      read_by_absl = _parsed([f"--flagfile=configs/{file}.cfg", "--steps=7"])
    self.assertEqual(_parsed(expanded), read_by_absl)

  def test_a_file_of_the_user_comes_first(self):
    file = self.create_tempfile(content="# mine\n\n--steps=3\n").full_path
    self.assertEqual(
      self._expand("--flagfile", file, "-x"), ["--steps=3", "-x"]
    )

  def test_leaves_other_arguments_alone(self):
    rest = ["sample", "--want=a=b", "-v=1", "--", "--config=nowhere"]
    self.assertEqual(self._expand(*rest), rest)

  def test_says_what_cannot_be_read(self):
    loop = self.create_tempfile("loop.cfg")
    loop.write_text(f"--flagfile={loop.full_path}\n")
    for argument, message in (
      ("--config=toon_face", "Configs for vae are celeb_a, celeb_a_p.*, demo,"),
      ("--flagfile=nowhere.cfg", "cannot be read: No such file.* one flag a"),
      (f"--flagfile={loop.full_path}", "includes itself"),
    ):
      with self.subTest(argument), self.assertRaisesRegex(ValueError, message):
        self._expand(argument)


class InstalledTest(absltest.TestCase):
  """Builds a wheel's files, and uses them outside of the repository."""

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())
    self.library = self.folder / "library"
    done = _python(
      *("setup.py", "-q", "build"),
      *(f"--build-base={self.folder}", f"--build-lib={self.library}"),
    )
    self.assertEqual(done.returncode, 0, done.stderr)

  def test_has_three_packages_with_all_their_files(self):
    self.assertSameElements(
      os.listdir(self.library), ["lc_keras", "serving", "trainers"]
    )
    expected = {
      path.relative_to(_ROOT).as_posix()
      for room in ("lc_keras", "serving", "trainers")
      for path in (_ROOT / room).rglob("*")
      if path.is_file() and path.suffix not in (".md", ".pyc", "")
    } | {
      f"trainers/{path.relative_to(_ROOT).as_posix()}"
      for path in (_ROOT / "configs").rglob("*.cfg")
    }
    found = {
      path.relative_to(self.library).as_posix()
      for path in self.library.rglob("*")
      if path.is_file()
    }
    self.assertSameElements(found, expected)

  def test_finds_its_configs(self):
    code = (
      "import json; from trainers import config_files; "
      "print(json.dumps([*config_files.expand(['--config=fashion_mnist', "
      "'--config_dir=configs/tiny'], 'actor')]))"
    )
    done = _python("-c", code, cwd=self.folder, path=self.library)
    self.assertEqual(done.returncode, 0, done.stderr)
    *found, folder = json.loads(done.stdout)
    self.assertEqual(
      found, [*config_files.expand(["--config=fashion_mnist"], "actor")]
    )
    self.assertEqual(
      folder, f"--config_dir={self.library / 'trainers/configs/tiny'}"
    )
