"""Tests of runs: what a run is about, and commands that belong together."""

import contextlib
import errno
import io
import json
import os
import pathlib
import signal
import sys
import time
from unittest import mock

import tensorflow as tf
from absl import flags
from absl.testing import absltest
from absl.testing import parameterized

from lc_keras.constraints import attributes
from lc_keras.data import pipeline
from lc_keras.models import storage
from trainers import attributes as attributes_job
from trainers import data
from trainers import runs

_DATASET = "toon_faces/tiny"


def _settings(*arguments, job=attributes_job):
  values = flags.FlagValues()
  job.define_flags(values)
  values(["job", *arguments])
  return values


class _InFolderTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())
    self.run_dir = str(self.folder / "run")

  def settings(self, *arguments, job=attributes_job):
    return _settings(f"--run_dir={self.run_dir}", *arguments, job=job)


class OpenRunTest(_InFolderTest):
  def setUp(self):
    super().setUp()
    # What preparing does is tested where it is done.
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

  def test_how_many_bad_examples_there_may_be_holds_for_the_run(self):
    self._open(f"--dataset={_DATASET}", "--max_bad_examples=3")
    self.prepare.return_value = ["shard, row 5: its image has another shape"]
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
      self._open()
    self.assertEqual(self.prepare.call_args.args[-1], 3)
    self.assertIn("1 bad examples are left out", said.getvalue())
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
    # The same command goes on with it.
    again = self._open(f"--base_run={base}")
    self.assertEqual(again.attributes.names, run.attributes.names)

  def test_shares_finished_stages_only(self):
    base = self.folder / "base"
    self._open(f"--dataset={_DATASET}", f"--run_dir={base}")
    with self.assertRaisesRegex(FileNotFoundError, "no generative model yet"):
      self._open(f"--base_run={base}")
    (base / "gan").mkdir()
    (base / "gan" / storage.WEIGHTS).touch()
    with self.assertRaisesRegex(runs.UserError, "no finished stage 'gan'"):
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
    # Jobs that need none go on, the others say why they cannot.
    again = self._open_model(None)
    self.assertEqual((again.dataset, again.image_shape), (None, (8, 16, 1)))
    with self.assertRaisesRegex(runs.UserError, "has no data set"):
      self._open()
    with self.assertRaisesRegex(
      runs.UserError, "about no data, not toon_faces"
    ):
      self._open_model(None, f"--dataset={_DATASET}")

  def test_a_model_must_make_the_images_of_the_data_set(self):
    with self.assertRaisesRegex(runs.UserError, r"\(8, 16, 1\).*\(64, 64, 3\)"):
      self._open_model((8, 16, 1), f"--dataset={_DATASET}")
    self.assertFalse(pathlib.Path(self.run_dir).exists())
    self._open_model((64, 64, 3), f"--dataset={_DATASET}")
    with self.assertRaisesRegex(runs.UserError, "choose another --run_dir"):
      self._open_model((8, 16, 1))

  def test_notes_what_others_need_to_know(self):
    run = self._open(f"--dataset={_DATASET}")
    noted = json.loads(pathlib.Path(self.run_dir, "run.json").read_text())
    self.assertEqual(noted["dataset"], _DATASET)
    self.assertEqual(noted["image_shape"], [64, 64, 3])
    rebuilt = attributes.Attributes(noted["attributes"], noted["exclusive"])
    self.assertEqual(rebuilt.names, run.attributes.names)
    self.assertEqual(
      rebuilt.excludes.tolist(), run.attributes.excludes.tolist()
    )

  def test_goes_on_without_being_told_the_data_set(self):
    self._open(f"--dataset={_DATASET}")
    self.assertEqual(self._open().dataset, _DATASET)

  def test_refuses_another_data_set(self):
    self._open(f"--dataset={_DATASET}")
    with self.assertRaisesRegex(
      runs.UserError, f"is about {_DATASET}, not fashion_mnist"
    ):
      self._open("--dataset=fashion_mnist")

  def test_refuses_to_guess_a_data_set(self):
    with self.assertRaisesRegex(runs.UserError, "give --dataset"):
      self._open()
    self.assertFalse(pathlib.Path(self.run_dir).exists())

  def test_refuses_an_unknown_data_set(self):
    with self.assertRaisesRegex(ValueError, "toon_faces/tiny"):
      self._open("--dataset=toon_faces/tinny")
    self.assertFalse(pathlib.Path(self.run_dir).exists())


class StageTest(_InFolderTest):
  def setUp(self):
    super().setUp()
    self.run = runs.Run(
      self.run_dir,
      _DATASET,
      "data",
      (8, 16, 1),
      attributes.Attributes(["Smiling"]),
    )

  def _stage(self, *arguments):
    return runs.Stage(self.run, "attributes", self.settings(*arguments))

  def test_notes_the_flags_so_that_they_can_be_read_again(self):
    given = self.settings("--steps=3", "--schedule=log", "--learning_rate=1e-7")
    stage = runs.Stage(self.run, "attributes", given)
    again = _settings(f"--flagfile={stage.path('flags.cfg')}")
    self.assertEqual(
      again.flag_values_dict() | {"flagfile": None},
      given.flag_values_dict() | {"flagfile": None},
    )

  def test_a_run_has_one_generative_model(self):
    runs.generator_stage(self.run, "vae", self.settings("--steps=3"))
    runs.generator_stage(self.run, "vae", self.settings("--steps=3"))
    with self.assertRaisesRegex(runs.UserError, "model, in its stage 'vae'"):
      runs.generator_stage(self.run, "gan", self.settings())
    self.assertFalse(pathlib.Path(self.run_dir, "gan").exists())

  def test_goes_on_with_the_same_flags(self):
    first = self._stage("--steps=3")
    written = pathlib.Path(first.path("flags.cfg")).read_text()
    second = self._stage("--steps=3")
    self.assertEqual(second.folder, first.folder)
    self.assertEqual(
      pathlib.Path(second.path("flags.cfg")).read_text(), written
    )

  @parameterized.parameters(
    ("--steps=4", "--steps"),
    ("--warmup_steps=1", "--warmup_steps"),
    ("--schedule=log", "--schedule"),
    ("--validation_limit=5", "--validation_limit"),
  )
  def test_refuses_other_flags_by_name(self, changed, name):
    self._stage("--steps=3")
    with self.assertRaisesRegex(
      runs.UserError, f"other values of {name} .*flags.cfg"
    ):
      self._stage("--steps=3", changed)

  def test_a_flag_that_did_not_exist_then_had_its_default(self):
    path = pathlib.Path(self._stage("--steps=3").path("flags.cfg"))
    lines = path.read_text().splitlines(keepends=True)
    without = [line for line in lines if "--schedule=" not in line]
    self.assertLess(len(without), len(lines))
    path.write_text("".join(without))
    self._stage("--steps=3")
    with self.assertRaisesRegex(runs.UserError, "other values of --schedule"):
      self._stage("--steps=3", "--schedule=log")

  def test_refuses_a_flag_that_is_left_out(self):
    self._stage("--steps=3", "--width=7")
    with self.assertRaisesRegex(runs.UserError, "--width"):
      self._stage("--steps=3")

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
    self.assertBetween(noted["seconds"], 100.0, 160.0)

  def test_seconds_are_those_of_finished_stages(self):
    self._stage().finish(seconds_before=100.0)
    runs.Stage(self.run, "vae", self.settings())
    seconds = runs.stage_seconds(self.run_dir)
    self.assertEqual(list(seconds), ["attributes"])
    self.assertBetween(seconds["attributes"], 100.0, 160.0)

  def test_seconds_that_the_demo_measured_go_first(self):
    self._stage().finish(seconds_before=100.0)
    pathlib.Path(self.run_dir, runs.SECONDS).write_text('{"attributes": 123}')
    self.assertEqual(runs.stage_seconds(self.run_dir), {"attributes": 123})


class MainTest(_InFolderTest):
  def _main(self, job, *arguments):
    """Runs a job as a program; returns its exit code and what it said."""
    said = io.StringIO()
    values = flags.FlagValues()
    # absl's program runs on the global flags; these are ours alone.
    values.append_flag_values(flags.FLAGS)
    with (
      mock.patch.object(flags, "FLAGS", values),
      mock.patch.object(runs.app, "run", self._run_app(values)),
      mock.patch.object(
        sys, "argv", ["job", f"--run_dir={self.run_dir}", *arguments]
      ),
      contextlib.redirect_stderr(said),
      self.assertRaises(SystemExit) as stopped,
    ):
      runs.main(data.define_flags, job)
      sys.exit(0)
    code = stopped.exception.code
    if isinstance(code, str):  # Python prints it and exits with 1.
      return 1, code + said.getvalue()
    return code, said.getvalue()

  def _run_app(self, values):
    return lambda run, arguments: run(values(arguments))

  def test_runs_the_job_with_its_flags(self):
    seen = []
    code, _ = self._main(lambda settings: seen.append(settings.run_dir))
    self.assertEqual(code, 0)
    self.assertEqual(seen, [self.run_dir])

  def _raise_user_error(self):
    raise runs.UserError("Give --dataset.")

  @parameterized.parameters(
    ("_raise_user_error", "Give --dataset."),
    ("_name_no_data_set", "toon_face"),
    ("_load_no_model", "No trained model"),
  )
  def test_what_the_user_can_put_right_is_one_line(self, mistake, text):
    code, said = self._main(lambda settings: getattr(self, mistake)())
    self.assertEqual(code, 1)
    self.assertStartsWith(said, "Error: ")
    self.assertIn(text, said)
    self.assertNotIn("Traceback", said)

  def _name_no_data_set(self):
    pipeline.describe("toon_face")

  def _load_no_model(self):
    storage.load(self.run_dir)

  def test_an_interruption_says_how_to_go_on(self):
    def job(settings):
      del settings
      raise KeyboardInterrupt

    code, said = self._main(job)
    self.assertEqual(code, 130)
    self.assertIn("The same command goes on", said)

  def test_told_to_stop_says_so_and_exits_with_75(self):
    def job(settings):
      del settings
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(60.0)

    code, said = self._main(job)
    self.assertEqual(code, 75)
    self.assertIn("SIGTERM. The same command goes on", said)

  @parameterized.parameters(
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full/log.csv"),
    OSError(errno.EROFS, os.strerror(errno.EROFS), "/read-only/lock"),
    # As HDF5 and TensorFlow say it.
    RuntimeError(
      "Unable to synchronously close file (errno = 28, error message = 'No "
      "space left on device')"
    ),
    tf.errors.ResourceExhaustedError(
      None, None, "/full/events.out; No space left on device"
    ),
  )
  def test_what_the_machine_fails_at_is_one_line(self, error):
    def job(settings):
      raise KeyError("something a library raises then") from error

    code, said = self._main(job)
    self.assertEqual(code, 1)
    self.assertRegex(
      said, "^Error: .*(No space|Read-only).*same command then goes on"
    )

  def test_our_own_mistakes_are_not_hidden(self):
    def job(settings):
      del settings
      raise TypeError("a bug")

    with self.assertRaisesRegex(TypeError, "a bug"):
      self._main(job)

  def test_a_library_s_mistakes_are_not_hidden(self):
    # A ValueError, as ours are, but its text does not say what to do.
    with self.assertRaises(json.JSONDecodeError):
      self._main(lambda settings: json.loads("no JSON"))

  def test_refuses_what_is_no_flag(self):
    with self.assertRaisesRegex(runs.app.UsageError, "Not a flag: steps=3"):
      self._main(lambda settings: None, "steps=3")


if __name__ == "__main__":
  absltest.main()
