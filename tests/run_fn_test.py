"""Tests of run_fn: training on tf.Examples, and the export's folder."""

import json
import pathlib
import types
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest

from lc_keras.constraints import attributes
from lc_keras.data import pipeline
from lc_keras.data import tf_examples
from serving import endpoints
from serving import server
from trainers import run_fn

_NAMES = ("Bald", "Black_Hair", "Blond_Hair", "Male", "Smiling")
_SHAPE = (8, 16, 1)
_build = endpoints.build


def _few(models):
  """Builds some of the signatures; all would take a minute."""
  built = _build(models)
  return {name: built[name] for name in ("score", "describe")}


def _write(folder, split, images, labels):
  """Writes a split as ExampleGen would; returns the file."""
  path = pathlib.Path(folder) / f"Split-{split}" / "data_tfrecord-0.gz"
  path.parent.mkdir(parents=True)
  with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
    for image, row in zip(images, labels, strict=True):
      example = tf.train.Example()
      feature = example.features.feature
      png = tf.io.encode_png(np.uint8(np.rint(image * 255))).numpy()
      feature[tf_examples.IMAGE].bytes_list.value.append(png)
      feature[tf_examples.ATTRIBUTES].float_list.value.extend(row)
      writer.write(example.SerializeToString(deterministic=True))
  return str(path)


class RunFnTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    random = np.random.default_rng(0)
    self.images, self.labels = {}, {}
    for split, rows in (("train", 12), ("eval", 7)):
      images = random.integers(0, 256, [rows, *_SHAPE]) / 255.0
      self.images[split] = images.astype(np.float32)
      labels = random.integers(0, 2, [rows, len(_NAMES)])
      self.labels[split] = labels.astype(np.float32)
      _write(
        str(self.folder / "examples"),
        split,
        self.images[split],
        self.labels[split],
      )

  def _eval_file(self):
    """Writes the examples to evaluate on alone; returns the file."""
    rows = self.images["eval"], self.labels["eval"]
    return _write(str(self.folder), "eval", *rows)

  def fn_args(self, **changes):
    """Returns an object like the FnArgs of TFX's Trainer."""
    given = {
      "working_dir": None,
      "train_files": [str(self.folder / "examples" / "Split-train" / "*")],
      "eval_files": [str(self.folder / "examples" / "Split-eval" / "*")],
      "train_steps": 2,
      "eval_steps": 1,
      "schema_path": None,
      "schema_file": None,
      "transform_graph_path": None,
      "transform_output": None,
      "data_accessor": None,
      "serving_model_dir": str(self.folder / "Format-Serving"),
      "eval_model_dir": None,
      "model_run_dir": str(self.folder / "model_run"),
      "base_model": None,
      "hyperparameters": {"values": {"vae/beta": 0.25}},
      "custom_config": {
        "attributes": _NAMES,
        "exclusive": [_NAMES[:3]],
        "image_shape": _SHAPE,
        "jobs": ["vae", "latents", "attributes"],
        "flags": {
          "vae": [
            "--architecture=mlp_small",
            "--latent_size=4",
            "--batch_size=4",
          ],
          "attributes": ["--width=8", "--depth=2", "--batch_size=4"],
        },
      },
    }
    return types.SimpleNamespace(**given | changes)

  def test_leaves_a_model_that_a_server_loads(self):
    with mock.patch.object(endpoints, "build", _few):
      run_fn.run_fn(self.fn_args())
    servable = server.load(str(self.folder / "Format-Serving"))
    self.addCleanup(servable.close)
    self.assertIn("score", servable.signatures)
    stage = self.folder / "model_run" / "vae"
    lines = (stage / "flags.cfg").read_text()
    for line in ("--steps=2", "--beta=0.25", "--validation_limit=4"):
      self.assertIn(line, lines)
    done = json.loads((stage / "done.json").read_text())
    self.assertEqual(done["steps"], 2)

  def test_examples_are_read_as_they_were_written(self):
    path = str(self.folder / "spec.json")
    tf_examples.write_spec(
      path,
      {"train": [str(self.folder / "examples/Split-train/*")]},
      _SHAPE,
      attributes.Attributes(_NAMES),
    )
    name = tf_examples.PREFIX + path
    (batch,) = pipeline.load(name, "train", 64, data_dir="unused")
    np.testing.assert_allclose(batch["image"], self.images["train"], atol=1e-6)
    np.testing.assert_array_equal(batch["attributes"], self.labels["train"])
    (part,) = pipeline.load(name, "train", 64, data_dir="unused", rows=(3, 8))
    np.testing.assert_array_equal(part["image"], batch["image"][3:8])
    first = next(
      iter(pipeline.load(name, "train", 4, data_dir="unused", training=True))
    )
    self.assertEqual(first["image"].shape, (4, *_SHAPE))

  def test_says_which_example_is_wrong(self):
    self.labels["eval"][2, 0] = np.nan
    path = self._eval_file()
    with self.assertRaisesRegex(
      ValueError, r"example 2 of validation, .*\[0, 1"
    ):
      run_fn.run_fn(self.fn_args(eval_files=[path]))
    with self.assertRaisesRegex(
      ValueError, "has 5 attributes, and there are 4"
    ):
      tf_examples.write_spec(
        str(self.folder / "spec.json"),
        {"eval": [path]},
        _SHAPE,
        attributes.Attributes(_NAMES[:4]),
      )

  def test_an_image_of_another_size_and_a_cut_file_are_named(self):
    path = self._eval_file()
    spec, known = str(self.folder / "spec.json"), attributes.Attributes(_NAMES)
    height, width, channels = _SHAPE
    with self.assertRaisesRegex(
      ValueError, f"example 0 of eval, {path}, has {height} x {width} pixels"
    ):
      tf_examples.write_spec(
        spec, {"eval": [path]}, (height, width + 1, channels), known
      )
    whole = pathlib.Path(path).read_bytes()
    pathlib.Path(path).write_bytes(whole[: len(whole) // 2])
    with self.assertRaisesRegex(
      ValueError, f"{path} is no whole TFRecord file"
    ):
      tf_examples.write_spec(spec, {"eval": [path]}, _SHAPE, known)
    for records, fault in (([], "have no example"), ([b"abc"], "no tf.Exam")):
      with tf.io.TFRecordWriter(path, "GZIP") as file:
        for record in records:
          file.write(record)
      with self.assertRaisesRegex(ValueError, f"{path}.* {fault}"):
        tf_examples.write_spec(spec, {"eval": [path]}, _SHAPE, known)

  def test_a_specification_that_is_wrong_or_outdated_is_named(self):
    path = self._eval_file()
    spec = self.folder / "spec.json"
    name, known = f"{tf_examples.PREFIX}{spec}", attributes.Attributes(_NAMES)
    tf_examples.write_spec(str(spec), {"eval": [path]}, _SHAPE, known)
    pipeline.verify(name, "unused")
    whole = pathlib.Path(path).read_bytes()
    pathlib.Path(path).write_bytes(whole[: len(whole) // 2])
    with self.assertRaisesRegex(ValueError, f"{path} is no whole TFRecord"):
      pipeline.verify(name, "unused")
    pathlib.Path(path).unlink()
    with self.assertRaisesRegex(FileNotFoundError, f"{spec} names {path}"):
      tf_examples.load(str(spec))
    for text, said in (
      ("none", "is damaged"),
      ("[]", "no specification"),
      ('{"format": 1}', "no specification"),
    ):
      spec.write_text(text)
      with self.assertRaisesRegex(ValueError, f"{spec} .*{said}"):
        tf_examples.load(str(spec))

  def test_says_what_is_missing_or_not_supported(self):
    for changes, said in (
      ({"base_model": "gs://there"}, "base_model .*not supported"),
      ({"train_files": []}, "train_files is empty"),
      ({"custom_config": None}, "lacks attributes, image_shape"),
      ({"custom_config": {"atributes": []}}, "has atributes; known are"),
    ):
      with self.assertRaisesRegex(ValueError, said):
        run_fn.run_fn(self.fn_args(**changes))
    with self.assertRaisesRegex(FileNotFoundError, "nothing matches"):
      run_fn.run_fn(self.fn_args(eval_files=[str(self.folder / "none*")]))
