"""Tests of presets: written from a run, listed, loaded, extended."""

import contextlib
import os
import pathlib
import shutil
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import flags
from PIL import Image

import lc_keras
from lc_keras import preset
from lc_keras import run_folder
from lc_keras.models import actor_critic
from lc_keras.models import storage
from serving import client
from serving.studio import faces
from tests import faces_run
from tests import programs
from trainers import constraint
from trainers import demo
from trainers import demo_steps
from trainers import preset as preset_job
from trainers import presets as presets_job
from trainers import program
from trainers import runs

_NAME = "tiny_faces"
_QUICK = {"width": 8, "depth": 1, "folds": 2, "steps": 5, "rounds": 1}


def _bright(images):
  return images.mean(axis=(1, 2, 3))


class PresetsTest(tf.test.TestCase):
  @classmethod
  def setUpClass(cls):
    """Writes a preset of a tiny run."""
    super().setUpClass()
    cls.folder = pathlib.Path(cls.get_temp_dir(cls()))
    cls.run_dir = cls.folder / "run"
    faces_run.write(str(cls.run_dir), str(cls.folder / "data"))
    # An actor needs one step, a search hundreds.
    actor = actor_critic.ActorCritic(faces_run.LATENT_SIZE, 10, 8, 1)
    storage.save(actor, str(cls.run_dir / "actor_0.1"))
    cls._write(cls.folder / "presets")

  @classmethod
  def _write(cls, place, *more):
    """Runs the program in this process."""
    programs.run(
      preset_job,
      f"--run_dir={cls.run_dir}",
      f"--data_dir={cls.folder / 'data'}",
      f"--presets_dir={place}",
      f"--name={_NAME}",
      "--line=A handful of faces.",
      "--held_out=3",
      *more,
    )

  def setUp(self):
    super().setUp()
    # The user's working folder, for all files that are written.
    self.enter_context(contextlib.chdir(self.create_tempdir().full_path))
    self._look_in(self.folder / "presets")

  def _look_in(self, place):
    self.enter_context(
      mock.patch.dict(os.environ, {preset.VARIABLE: str(place)})
    )

  def _copy(self):
    """Returns a copy of the preset's folder, which replaces it."""
    place = self.create_tempdir().full_path
    copied = shutil.copytree(
      self.folder / "presets" / _NAME, os.path.join(place, _NAME)
    )
    self._look_in(place)
    return pathlib.Path(copied)

  def test_is_listed_with_a_line_and_a_picture(self):
    found = lc_keras.presets()
    self.assertIn(f"{_NAME}: A handful of faces.", repr(found))
    self.assertIn("data:image/png;base64,", found._repr_html_())
    known = found[_NAME].manifest
    self.assertEqual(known["dataset"], faces_run.DATASET)
    self.assertEqual(known["licence"], "Apache-2.0")
    change = known["figures"]["largest_change_by_half_precision"]
    self.assertLess(change, 0.2)  # Large, since weights are random, times 6.

  def test_the_same_run_gives_the_same_files(self):
    self._write(self.folder / "again")
    first, second = (
      {
        path.relative_to(place): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
      }
      for place in (self.folder / "presets", self.folder / "again")
    )
    self.assertEqual(first, second)

  def test_a_preset_too_large_is_not_written(self):
    with self.assertRaisesRegex(ValueError, "MB and may have 1: take"):
      self._write(self.folder / "large", "--megabytes=1")
    self.assertEmpty(os.listdir(self.folder / "large"))

  def test_loads_by_name_and_writes_nothing(self):
    control = lc_keras.load(_NAME)
    run = lc_keras.load(str(self.run_dir))
    self.assertEqual(control.attributes.names, run.attributes.names)
    latents = np.random.default_rng(0).normal(size=[4, faces_run.LATENT_SIZE])
    self.assertAllClose(control.decode(latents), run.decode(latents), atol=0.2)
    self.assertEmpty(os.listdir())

  def test_what_is_learned_goes_to_the_users_folder(self):
    before = sorted((self.folder / "presets").rglob("*"))
    lc_keras.load(_NAME).learn("Bright", rule=_bright, **_QUICK, verbose=0)
    self.assertTrue(os.path.isdir(f"runs/{_NAME}/constraints/Bright"))
    known = lc_keras.load(_NAME).attributes.names
    self.assertIn("Bright", known)
    asked = run_folder.requestable(preset.readable(_NAME))
    self.assertEqual(asked.names, known)
    self.assertEqual(sorted((self.folder / "presets").rglob("*")), before)

  def test_programs_take_its_name_for_a_run_folder(self):
    values = programs.parsed(
      constraint,
      f"--run_dir={_NAME}",
      "--name=Dark",
      "--rule=lc_keras.constraints.face_rules:dark_share",
      "--threshold=0.2485",
      "--count=256",
      *(f"--{key}={value}" for key, value in _QUICK.items()),
    )
    program._run(constraint.run_job, values, "")
    # The data set was not prepared.
    self.assertEqual(os.listdir(), ["runs"])
    made = pathlib.Path("runs", _NAME, "constraints", "Dark")
    self.assertTrue((made / "picture.png").exists())
    self.assertLen(runs.Run(f"runs/{_NAME}").held_out(9), 3)

  def test_the_client_makes_images_without_a_server(self):
    values = flags.FlagValues()
    client.define_flags(values)
    arguments = [f"--preset={_NAME}", "--want=Smiling", "--n=2", "--out=a.png"]
    with mock.patch.object(flags, "FLAGS", values):
      client._run(values(["client", "sample", *arguments]))
    with Image.open("a.png") as picture:
      self.assertGreater(np.ptp(np.asarray(picture)), 0)
    self.assertEqual(os.listdir(), ["a.png"])

  def test_the_studio_offers_its_pictures(self):
    run_dir = preset.writable(_NAME)
    self.assertLen(faces.find(None, run_dir, "nowhere", 12), 3)

  def test_the_demo_makes_a_page(self):
    small = ",".join(f"{key}={value}" for key, value in _QUICK.items())
    values = programs.parsed(
      demo,
      f"--run_dir={_NAME}",
      "--want=Smiling",
      "--changes=Eyeglasses",
      "--label_limit=40",
      "--rule=lc_keras.constraints.face_rules:dark_share",
      "--threshold=0.2485",
      "--rule_name=Dark",
      f"--recipe={small},count=64",
    )
    # Exports and servers have tests of their own.
    with mock.patch.object(demo_steps.Demo, "serve"):
      program._run(demo.run_job, values, "")
    folder = pathlib.Path("runs", _NAME)
    page = (folder / "demo" / "index.html").read_text()
    for text in ("Images of “Smiling”", "All in one request", "In figures"):
      self.assertIn(text, page)
    for who in ("the rule itself", "a linear reader of encodings"):
      self.assertIn(f"<td>{who}", page)
    self.assertCountEqual(os.listdir(folder / "constraints"), ["Dark", "Bangs"])
    for number in range(1, 6):
      with Image.open(folder / "demo" / f"{number:02}.png") as picture:
        self.assertGreater(np.ptp(np.asarray(picture)), 0)

  def test_a_run_folder_of_the_name_comes_first(self):
    shutil.copytree(self.run_dir, _NAME)
    self.assertEqual(preset.readable(_NAME), _NAME)
    self.assertEqual(preset.writable(_NAME), _NAME)

  def test_another_run_is_not_written_to(self):
    shutil.copytree(self.run_dir, f"runs/{_NAME}")
    self.assertIn("presets", preset.readable(_NAME))
    with self.assertRaisesRegex(ValueError, "that is another run. Rename it"):
      preset.writable(_NAME)

  def test_links_follow_a_package_that_moves(self):
    preset.writable(_NAME)
    copied = self._copy()
    preset.writable(_NAME)
    self.assertEqual(os.readlink(f"runs/{_NAME}/vae"), str(copied / "vae"))

  def test_damage_is_told_in_a_sentence(self):
    weights = self._copy() / "vae" / "best.weights.h5"
    weights.write_bytes(weights.read_bytes()[:-1])
    with self.assertRaisesRegex(ValueError, "weights.h5 is damaged: .*install"):
      lc_keras.load(_NAME)
    weights.unlink()
    with self.assertRaisesRegex(ValueError, "best.weights.h5 is missing"):
      lc_keras.load(_NAME)

  def test_the_list_names_a_damaged_manifest(self):
    (self._copy() / preset.MANIFEST).write_text("{")
    with self.assertRaisesRegex(SystemExit, "Error: .*preset.json is damaged"):
      presets_job._run(["presets"])

  def test_unknown_names_are_told_what_there_is(self):
    listed = rf"Give the name of a preset \(.*{_NAME}\), or the --run_dir"
    for name, nearest in (
      ("tiny_face", rf" run folder; did you mean {_NAME}.*\? "),
      ("runs/mine", r" run folder\. "),
    ):
      with self.assertRaisesRegex(
        FileNotFoundError,
        f"'{name}' is neither a preset nor a{nearest}{listed}",
      ):
        lc_keras.load(name)
    os.makedirs("runs/mine")
    with self.assertRaisesRegex(
      FileNotFoundError, f"'runs/mine' is no run folder: .* run.json. {listed}"
    ):
      lc_keras.load("runs/mine")

  def test_a_job_that_could_begin_a_run_says_the_same(self):
    arguments = "--run_dir=tiny_face", "--name=X", "--rule=a:b"
    with self.assertRaisesRegex(ValueError, f"mean {_NAME}.*give --dataset"):
      programs.run(constraint, *arguments)
    self.assertEmpty(os.listdir())

  def test_a_variable_without_presets_is_an_error(self):
    empty = self.create_tempdir().full_path
    for place, told in (
      ("/nonexistent", "which is no folder"),
      (empty, "none of whose folders has a preset.json"),
      # The folder of a preset, instead of the one above it.
      (self.folder / "presets" / _NAME, "none of whose folders has a"),
    ):
      self._look_in(place)
      said = (
        f"LC_KERAS_PRESETS names '{place}', {told}.*: name the .* or unset it"
      )
      for use in (
        lc_keras.presets,
        lambda: lc_keras.load(_NAME),
        lambda: preset.writable("toon_faces"),
      ):
        with self.assertRaisesRegex(FileNotFoundError, said):
          use()
      with self.assertRaisesRegex(SystemExit, f"Error: {said}"):
        presets_job._run(["presets"])
    self._look_in("")
    self.assertIn("toon_faces", lc_keras.presets())
