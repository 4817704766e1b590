"""Tests of runs: opening run folders, and flags of stages."""

import contextlib
import io
import json
import pathlib
from unittest import mock

from absl.testing import parameterized

from lc_keras import run_folder
from lc_keras.constraints import attributes
from lc_keras.models import storage
from tests import programs
from trainers import attributes as attributes_job
from trainers import commands
from trainers import data
from trainers import runs

_DATASET = "toon_faces/tiny"


class _InFolderTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())
    self.run_dir = str(self.folder / "run")

  def settings(self, *arguments, job=attributes_job):
    return programs.parsed(job, f"--run_dir={self.run_dir}", *arguments)


class OpenRunTest(_InFolderTest):
  def setUp(self):
    super().setUp()
    # pipeline_test has the tests of preparation.
    self.prepare = self.enter_context(
      mock.patch.object(runs.pipeline, "prepare", return_value=[])
    )

  def _open(self, *arguments):
    return runs.open_run(self.settings(*arguments, job=data))

  def test_begins_a_run_and_prepares_its_data(self):
    run = self._open(f"--dataset={_DATASET}", "--data_dir=/somewhere")
    self.prepare.assert_called_once_with(_DATASET, "/somewhere", 0)
    self.assertEqual(run.dataset, _DATASET)
    self.assertEqual(run.image_shape, (64, 64, 3))
    self.assertIn("Smiling", run.attributes.names)
    self.assertEqual(run.path("vae", "a.txt"), f"{self.run_dir}/vae/a.txt")

  def test_data_that_cannot_be_read_begin_no_run(self):
    self.prepare.side_effect = FileNotFoundError("CelebA is not there.")
    with self.assertRaisesRegex(FileNotFoundError, "not there"):
      self._open("--dataset=celeb_a")
    self.prepare.side_effect = None
    run = self._open("--dataset=celeb_a", "--source_dir=/mine")
    self.assertEqual(run.dataset, "celeb_a?source_dir=/mine")
    # A run that has begun remains one.
    self.prepare.side_effect = ValueError("train.tfrecord is damaged.")
    with self.assertRaisesRegex(ValueError, "damaged"):
      self._open()
    self.prepare.side_effect = None
    self.assertEqual(self._open().dataset, run.dataset)

  def test_how_many_bad_examples_there_may_be_holds_for_the_run(self):
    self._open(f"--dataset={_DATASET}", "--max_bad_examples=3")
    self.prepare.return_value = ["shard, row 5: its image has another shape"]
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
      self._open().prepare_data()
    self.assertEqual(self.prepare.call_args.args[-1], 3)
    self.assertEqual(said.getvalue().count("1 bad examples are left out"), 1)
    self.assertIn("shard, row 5", said.getvalue())
    self._open("--max_bad_examples=0")
    self._open()
    self.assertEqual(self.prepare.call_args.args[-1], 0)

  def test_shares_the_pixels_side_of_another_run(self):
    base = self.folder / "base"
    self._open(f"--dataset={_DATASET}", f"--run_dir={base}")
    for stage in ("vae", "latents", "classifier", "actor_0.1"):
      (base / stage).mkdir()
      (base / stage / "done.json").write_text('{"seconds": 1}')
    (base / "vae" / storage.WEIGHTS).touch()
    run = self._open(f"--base_run={base}")
    self.assertEqual(run.dataset, _DATASET)
    self.assertEqual(run.done("vae"), {"seconds": 1})
    self.assertIsNone(run.done("actor_0.1"))
    # Relative: both can be moved together.
    self.assertFalse(pathlib.Path(run.path("vae")).readlink().is_absolute())
    # The same command resumes the run.
    again = self._open(f"--base_run={base}")
    self.assertEqual(again.attributes.names, run.attributes.names)

  def test_shares_finished_stages_only(self):
    base = self.folder / "base"
    self._open(f"--dataset={_DATASET}", f"--run_dir={base}")
    with self.assertRaisesRegex(FileNotFoundError, "no generative model yet"):
      self._open(f"--base_run={base}")
    (base / "gan").mkdir()
    (base / "gan" / storage.WEIGHTS).touch()
    with self.assertRaisesRegex(ValueError, "no finished stage 'gan'"):
      self._open(f"--base_run={base}")
    self.assertFalse(pathlib.Path(self.run_dir).exists())

  def test_shares_a_model_without_a_data_set(self):
    base = self.folder / "base"
    self._open_model((8, 16, 1), f"--run_dir={base}")
    for stage, file in (("generator", "generator.json"), ("latents", "cache")):
      (base / stage).mkdir()
      (base / stage / file).touch()
      (base / stage / "done.json").write_text('{"seconds": 1}')
    run = self._open_model(None, f"--base_run={base}")
    self.assertIsNone(run.dataset)
    self.assertEqual(run.done("generator"), {"seconds": 1})

  def _open_model(self, image_shape, *arguments):
    return runs.open_run(
      self.settings(*arguments, job=data),
      needs_data=False,
      image_shape=image_shape,
    )

  def test_begins_a_run_without_a_data_set(self):
    run = self._open_model((8, 16, 1))
    self.prepare.assert_not_called()
    self.assertEqual((run.dataset, run.image_shape), (None, (8, 16, 1)))
    self.assertEmpty(run.attributes.names)
    # Jobs without data run; others fail with a reason.
    again = self._open_model(None)
    self.assertEqual((again.dataset, again.image_shape), (None, (8, 16, 1)))
    with self.assertRaisesRegex(ValueError, "has no data set"):
      self._open()
    with self.assertRaisesRegex(ValueError, "about no data, not toon_faces"):
      self._open_model(None, f"--dataset={_DATASET}")

  def test_a_model_must_make_the_images_of_the_data_set(self):
    with self.assertRaisesRegex(ValueError, r"\(8, 16, 1\).*\(64, 64, 3\)"):
      self._open_model((8, 16, 1), f"--dataset={_DATASET}")
    self.assertFalse(pathlib.Path(self.run_dir).exists())
    self._open_model((64, 64, 3), f"--dataset={_DATASET}")
    with self.assertRaisesRegex(ValueError, "choose another --run_dir"):
      self._open_model((8, 16, 1))

  @parameterized.parameters(
    ((), "give --dataset"),
    (("--dataset=toon_faces/tinny",), "toon_faces/tiny"),
  )
  def test_refuses_to_guess_a_data_set(self, given, message):
    with self.assertRaisesRegex(ValueError, message):
      self._open(*given)
    self.assertFalse(pathlib.Path(self.run_dir).exists())

  def test_refuses_another_data_set(self):
    self._open(f"--dataset={_DATASET}")
    with self.assertRaisesRegex(
      ValueError, f"is about {_DATASET}, not fashion_mnist"
    ):
      self._open("--dataset=fashion_mnist")
    self.assertEqual(self._open().dataset, _DATASET)


class StageTest(_InFolderTest):
  def setUp(self):
    super().setUp()
    smiling = attributes.Attributes(["Smiling"])
    run_folder.write_about(
      self.run_dir, _DATASET, smiling, image_shape=(8, 16, 1)
    )
    self.run = runs.Run(self.run_dir)

  def _stage(self, *arguments):
    return self._stage_of("attributes", *arguments)

  def _stage_of(self, name, *arguments):
    return self.run.stage(name, self.settings(*arguments))

  def test_notes_the_flags_so_that_they_can_be_read_again(self):
    given = self.settings("--steps=3", "--schedule=log", "--learning_rate=1e-7")
    stage = self.run.stage("attributes", given)
    flagfile = f"--flagfile={stage.path('flags.cfg')}"
    again = programs.parsed(attributes_job, flagfile)
    self.assertEqual(
      again.flag_values_dict() | {"flagfile": None},
      given.flag_values_dict() | {"flagfile": None},
    )

  def test_a_run_has_one_generative_model(self):
    self.run.stage("vae", self.settings("--steps=3"))
    self.run.stage("vae", self.settings("--steps=3"))
    with self.assertRaisesRegex(ValueError, "model, in its stage 'vae'"):
      self.run.stage("gan", self.settings())
    self.assertFalse(pathlib.Path(self.run_dir, "gan").exists())
    self.run.stage("refiner", self.settings())  # It refines the VAE.

  @parameterized.parameters(
    ("--steps=4", "--steps"),
    ("--warmup_steps=1", "--warmup_steps"),
    ("--schedule=log", "--schedule"),
    ("--final_learning_rate=0", "--final_learning_rate"),
  )
  def test_refuses_other_flags_by_name(self, changed, name):
    self._log(self._stage("--steps=3"))
    with self.assertRaisesRegex(
      ValueError, f"other values of {name} .*flags.cfg"
    ):
      self._stage("--steps=3", changed)
    # To omit a flag changes it, too.
    self._log(self._stage_of("flow", "--steps=3", changed))
    with self.assertRaisesRegex(ValueError, f"other values of {name} "):
      self._stage_of("flow", "--steps=3")

  def _log(self, stage):
    pathlib.Path(stage.path("log.csv")).touch()

  def test_flags_may_change_before_they_made_something(self):
    self._stage("--steps=3", "--batch_size=512")  # Too large, an error says.
    stage = self._stage("--steps=3", "--batch_size=16")
    self.assertIn(
      "--batch_size=16", pathlib.Path(stage.path("flags.cfg")).read_text()
    )

  def test_where_things_lie_may_change(self):
    self._stage("--data_dir=here", "--replicas=1")
    self.run_dir += "/../run"
    self.assertFalse(self._stage("--data_dir=there", "--replicas=2").done)

  def test_is_done_when_it_was_finished(self):
    stage = self._stage()
    self.assertFalse(stage.done)
    stage.finish(seconds_before=100.0, steps=7)
    self.assertTrue(self._stage().done)
    noted = json.loads(pathlib.Path(stage.path("done.json")).read_text())
    self.assertEqual(noted["steps"], 7)
    self.assertGreaterEqual(noted["seconds"], 100.0)

  def test_seconds_are_those_of_finished_stages(self):
    self._stage().finish(seconds_before=100.0)
    self.run.stage("vae", self.settings())
    seconds = self.run.seconds()
    self.assertEqual(list(seconds), ["attributes"])
    self.assertGreaterEqual(seconds["attributes"], 100.0)
    # Seconds of whole commands, as recorded by the demo, take precedence.
    pathlib.Path(self.run.path(commands.SECONDS)).write_text('{"flow": 123}')
    self.assertEqual(self.run.seconds(), {"flow": 123})
