"""Tests that the job that a config is named after can parse it.

`actor_no_penalty.cfg` is for `trainers.actor`, the job with the longest name
that it begins with. A config that is named after no job is shared: another one
must include it.
"""

import contextlib
import importlib
import pathlib
import re

from absl import flags
from absl.testing import absltest

_ROOT = pathlib.Path(__file__).parents[1]
_CONFIGS = sorted((_ROOT / "configs").glob("*/*.cfg"))


def _job(config: pathlib.Path) -> str | None:
  words = config.stem.split("_")
  for count in range(len(words), 0, -1):
    job = "_".join(words[:count])
    if (_ROOT / "trainers" / f"{job}.py").exists():
      return job
  return None


def _parse(job: str, flagfile: pathlib.Path) -> flags.FlagValues:
  """Parses a config as the job would, started in the root folder."""
  values = flags.FlagValues()
  importlib.import_module(f"trainers.{job}").define_flags(values)
  run_dir = ["--run_dir=runs/test"] if "run_dir" in values else []
  with contextlib.chdir(_ROOT):
    rest = values([job, *run_dir, f"--flagfile={flagfile}"])
  if len(rest) > 1:
    raise flags.Error(f"{flagfile}: not a flag: {rest[1:]}")
  return values


class ConfigsTest(absltest.TestCase):
  def test_every_config_parses(self):
    self.assertNotEmpty(_CONFIGS)
    for config in filter(_job, _CONFIGS):
      with self.subTest(config=str(config.relative_to(_ROOT))):
        _parse(_job(config), config)

  def test_what_no_job_owns_is_included_somewhere(self):
    included = set()
    for config in _CONFIGS:
      text = config.read_text()
      included |= set(re.findall(r"^--flagfile=(\S+)$", text, re.MULTILINE))
    for config in _CONFIGS:
      if not _job(config):
        self.assertIn(config.relative_to(_ROOT).as_posix(), included)

  def test_only_the_job_data_says_which_data_set_it_is(self):
    # Configs can then be used with another data set.
    for config in _CONFIGS:
      named = re.search("^--dataset", config.read_text(), re.MULTILINE)
      if named:
        self.assertEqual(_job(config), "data", config)

  def test_the_published_actor_leaves_nothing_open(self):
    # Its input then has 1,024 + 10 numbers, see networks_test.
    for name in ("actor", "actor_0"):
      config = _ROOT / f"configs/celeb_a_published/{name}.cfg"
      self.assertEqual(_parse("actor", config).masked_fraction, 0.0)

  def test_a_flag_that_a_job_has_not_is_seen(self):
    for text in ("--beta_of_nobody=1", "--steps=many", "steps=3"):
      with self.subTest(text), self.assertRaises(flags.Error):
        _parse("vae", self.create_tempfile(content=text).full_path)
