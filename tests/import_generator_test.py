"""Tests of bringing a foreign model into a run, and of its latents."""

import json
import pathlib
import runpy
import sys
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from lc_keras import parts
from lc_keras.data import latent_cache
from lc_keras.data import stored
from lc_keras.generators import conventions
from lc_keras.generators import generator
from lc_keras.models import pixel_classifier
from lc_keras.models import storage
from tests import idx_files
from tests import programs
from tests import testing
from trainers import attributes as attributes_job
from trainers import import_generator
from trainers import latents as latents_job
from trainers import runs

_ROOT = pathlib.Path(__file__).parents[1]
_EXAMPLE = _ROOT / "examples" / "plain_keras_vae.py"

_THEIRS = """
import numpy as np

WEIGHTS = np.random.default_rng(0).normal(size=(3, {size}))

def decode(z):
  return np.tanh(z @ WEIGHTS).reshape({shape})

def broken(z):
  return decode(z)[:, 0]
"""


class ImportGeneratorTest(tf.test.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())
    self.run_dir = self.folder / "run"
    self.data_dir = self.folder / "data"

  def _run(self, job, *arguments):
    folders = f"--run_dir={self.run_dir}", f"--data_dir={self.data_dir}"
    return programs.run(job, *folders, *arguments)

  def _import(self, *arguments):
    return self._run(import_generator, *arguments)

  def _latents(self, *arguments):
    return self._run(
      latents_job,
      "--rows_train=30",
      "--rows_validation=5",
      "--rows_test=4",
      *arguments,
    )

  def _read(self, split):
    run = runs.Run(str(self.run_dir), str(self.data_dir))
    source = run.latents_source(labelled=False)
    return latent_cache.read(run.path("latents", "cache"), split, source)

  def _module(self, shape=(8, 16)):
    """Writes a user's module; returns its name."""
    size = shape[0] * shape[1]
    text = _THEIRS.format(size=size, shape=f"-1, {shape[0]}, {shape[1]}")
    return testing.write_module(self, self.folder, text)

  def _flags(self, module, function="decode"):
    return (
      f"--decoder={module}:{function}",
      "--latent_size=3",
      "--pixel_range=-1,1",
    )

  def _write_data(self):
    """Writes a tiny Fashion-MNIST to the first folder of its builder."""
    folder = pathlib.Path(stored.manual_dir(str(self.data_dir)))
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for prefix, count in (("train", 48), ("t10k", 10)):
      # Smooth images, which can be learned.
      small = random.integers(0, 256, (count, 7, 7), np.uint8)
      images = small.repeat(4, axis=1).repeat(4, axis=2)
      labels = np.arange(count, dtype=np.uint8) % 10
      idx_files.write(folder / f"{prefix}-images-idx3-ubyte.gz", images)
      idx_files.write(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return folder

  def _files(self):
    return {path for path in self.run_dir.rglob("*") if path.is_file()}

  def test_a_function_without_a_data_set(self):
    arguments = self._flags(self._module())
    said = self._import(*arguments)
    with self.subTest("says what it is"):
      for text in (
        "which is a program",
        "3 numbers a latent vector, images of 8 x 16 x 1",
        "No encoder",
        "trainers.constraint",
        "trainers.encoder",
        "cannot be exported",
      ):
        self.assertIn(text, said)
      self.assertNotIn("trainers.attributes", said)
    with self.subTest("there is a run, and a picture"):
      run = runs.Run(str(self.run_dir), "data")
      self.assertEqual((run.dataset, run.image_shape), (None, (8, 16, 1)))
      self.assertFalse(run.done("generator")["encodes"])
      with Image.open(
        run.path("generator/pictures/prior_samples.png")
      ) as shown:
        self.assertGreater(np.ptp(np.asarray(shown)), 0)
    with self.subTest("again, it does nothing"):
      before = self._files()
      self.assertIn("is done", self._import(*arguments))
      self.assertEqual(self._files(), before)
      self.assertEmpty([path for path in before if ".tmp" in str(path)])
    with self.subTest("its latents are draws of the prior"):
      self._latents("--posterior_scale=0.2")
      train = self._read("train")
      self.assertLen(self._read("test"), 4)
      self.assertEqual(train.mean.shape, (30, 3))
      self.assertEqual(train.attributes.shape, (30, 0))
      self.assertAllClose(train.scale, np.full([30, 3], 0.2))
      self.assertNotAllClose(train.mean[:4], self._read("test").mean)
      self.assertIn("is done", self._latents("--posterior_scale=0.2"))
    with self.subTest("what needs attributes says so"):
      with self.assertRaisesRegex(ValueError, "no data set"):
        self._run(attributes_job)

  def test_what_is_refused_leaves_nothing(self):
    module = self._module()
    for arguments, sentence in (
      ([], "--decoder is missing"),
      (
        [*self._flags(module), "--latent_size=many"],
        "--latent_size needs whole numbers",
      ),
      (
        [*self._flags(module), "--fixed=class"],
        "such as class:207,truncation:0.7,.*got 'class'",
      ),
      ([*self._flags(module), "--encode_mean=mu"], "but no encoder"),
      (self._flags(module, "broken"), "they are flat"),
      ([*self._flags(module), "--pixel_range=black,white"], "two numbers"),
    ):
      with self.assertRaisesRegex(ValueError, sentence):
        self._import(*arguments)
      self.assertFalse(self.run_dir.exists())

  def test_flags_know_every_choice(self):
    values = programs.parsed(import_generator, "--run_dir=mine")
    for name, known in (
      ("prior", conventions.PRIORS),
      ("pixels", conventions.PIXELS),
    ):
      self.assertEqual(values[name].parser.enum_values, [*known])

  def test_an_interrupted_import_goes_on(self):
    arguments = self._flags(self._module())
    self._import(*arguments)
    (self.run_dir / "generator" / "done.json").unlink()
    self._import(*arguments)
    self.assertTrue((self.run_dir / "generator" / "done.json").exists())
    with self.assertRaisesRegex(ValueError, "other values of --prior"):
      self._import(*arguments, "--prior=uniform")

  def test_labels_of_draws_are_what_a_classifier_reads(self):
    self._write_data()
    arguments = self._flags(self._module((28, 28)))
    self.assertIn(
      "trainers.classifier", self._import("--dataset=fashion_mnist", *arguments)
    )
    with self.subTest("without one there are none"):
      self._latents()
      self.assertEqual(self._read("train").attributes.shape, (30, 0))
      with self.assertRaisesRegex(ValueError, "a classifier reads"):
        self._run(attributes_job)
    classifier = pixel_classifier.PixelClassifier((28, 28, 1), 10, "mlp_small")
    storage.save(classifier, str(self.run_dir / "classifier"))
    (self.run_dir / "classifier" / "done.json").write_text("{}")
    with self.subTest("then the older ones are stale"):
      with self.assertRaisesRegex(ValueError, "its attributes is None"):
        self._latents()
    for file in (self.run_dir / "latents").rglob("*.json"):
      file.unlink()
    with self.subTest("labels by image would label draws"):
      self.assertFalse(parts.read(str(self.run_dir)).encoded)
    with self.subTest("with one, classes exclude each other"):
      self._latents()
      run = runs.Run(str(self.run_dir), str(self.data_dir))
      train = latent_cache.read(
        run.path("latents", "cache"), "train", run.latents_source()
      )
      images = generator.load(run.folder).decode(train.mean).mean()
      logits = classifier(images).numpy()
      expected = np.eye(10)[logits.argmax(axis=1)] * (logits > 0)
      self.assertAllEqual(train.attributes, expected)
    with self.subTest("another classifier reads otherwise"):
      classifier.set_weights([w + 1 for w in classifier.get_weights()])
      storage.save(classifier, str(self.run_dir / "classifier"))
      with self.assertRaisesRegex(ValueError, "its classifier is"):
        self._latents()

  def test_a_model_of_another_program(self):
    data, model = self._write_data(), self.folder / "model"
    self.assertNotIn("import lc_keras", _EXAMPLE.read_text())
    self.assertNotIn("from lc_keras", _EXAMPLE.read_text())
    arguments = [f"--data={data}", f"--out={model}", "--steps=3"]
    with mock.patch.object(
      sys, "argv", [str(_EXAMPLE), *arguments, "--batch_size=8"]
    ):
      runpy.run_path(str(_EXAMPLE), run_name="__main__")
    said = self._import(
      "--dataset=fashion_mnist",
      f"--decoder={model}",
      "--decode_signature=generate",
      "--encode_signature=embed",
      "--encode_mean=mu",
      "--encode_log_variance=log_var",
      "--pixel_range=-1,1",
    )
    self.assertIn("It can encode", said)
    self.assertIn("It can be exported", said)
    self.assertIn("squared error", said)
    with self.subTest("it is noted whole"):
      stage = self.run_dir / "generator"
      spec = json.loads((stage / "generator.json").read_text())
      self.assertEqual(spec["decode"]["input"], "code")
      self.assertTrue((stage / "pictures" / "reconstructions.png").exists())
    with self.subTest("images are encoded as by the VAE of ours"):
      self._latents()
      train = self._read("train")
      self.assertEqual(train.mean.shape, (44, 16))
      self.assertEqual(train.attributes.shape, (44, 10))
      self.assertAllGreater(train.scale, 0.0)
      self.assertGreater(np.ptp(train.scale), 0.0)
