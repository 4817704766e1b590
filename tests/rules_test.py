"""Tests of ready judges: classifiers, example pictures, sentences."""

import os
import pathlib
import types

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image

from lc_keras import recipes
from lc_keras.data import preprocessing
from lc_keras.learning.rules import kinds
from lc_keras.learning.rules import pictures


def _images(count=64, channels=3, size=8):
  """Returns images of all degrees of brightness, each with some noise."""
  random = np.random.default_rng(0)
  bright = random.permutation(np.linspace(0.15, 0.85, count))
  noise = random.uniform(-0.15, 0.15, [count, size, size, channels])
  return np.float32(bright.reshape(-1, 1, 1, 1) + noise)


def _bright(images):
  return images.mean(axis=(1, 2, 3)) > 0.5


def _logits(images, low=0.0, high=1.0):
  """Returns the darkness and the brightness of images in [low, high]."""
  bright = (images.mean(axis=(1, 2, 3)) - low) / (high - low)
  return 20.0 * np.stack([0.5 - bright, bright - 0.5], axis=1)


def _keras(*layers, batch_size=None, shape=(8, 8, 3)):
  """Returns a Keras model whose two logits are dark and bright."""
  size = int(np.prod(shape))
  model = keras.Sequential(
    [
      keras.Input(shape, batch_size=batch_size),
      *layers,
      keras.layers.Flatten(),
      keras.layers.Dense(2),
    ]
  )
  weights = np.full([size, 2], 20.0 / size, np.float32) * [-1.0, 1.0]
  model.layers[-1].set_weights([weights, np.float32([10.0, -10.0])])
  return model


def _rule(images=None, **settings):
  """Returns a rule and its values of images."""
  made = kinds.make(recipes.Rule(**settings), _parts())
  return made, made(_images() if images is None else images)


def _parts(encodes=True):
  """Returns fake parts for rules; the encoder returns the mean brightness."""

  def encode(images):
    mean = tf.reduce_mean(tf.cast(images, tf.float32), axis=(1, 2))
    return types.SimpleNamespace(mean=lambda: mean)

  generator = types.SimpleNamespace(image_shape=(8, 8, 3))
  if encodes:
    generator.encode = encode
  return types.SimpleNamespace(
    generator=generator,
    models={},
    preprocessing=preprocessing.Preprocessing((8, 8, 3)),
  )


class ClassifierTest(parameterized.TestCase):
  @parameterized.parameters(
    ("0,1", 0.0, 1.0), ("-1,1", -1.0, 1.0), ("0,255", 0.0, 255.0)
  )
  def test_pixels_are_found_out_by_trying_and_said(self, pixels, low, high):
    def classify(images):
      return _logits(images, low, high)

    made, read = _rule(rule=classify, rule_class=1)
    np.testing.assert_array_equal(read > 0.5, _bright(_images()))
    self.assertIn(f"pixels are {pixels}.", made.notes[0])
    self.assertRegex(made.notes[1], "The pixel values were inferred")
    self.assertEqual(made.identity["pixels"], pixels)
    _, said = _rule(rule=classify, rule_class=1, rule_pixels=f"{low},{high}")
    np.testing.assert_allclose(read, said, atol=1e-5)

  def test_it_says_where_it_cannot_tell_which_pixels(self):
    made, _ = _rule(rule=lambda x: _logits(x, -0.5, 1.5), rule_class=1)
    self.assertStartsWith(
      made.notes[1], "WARNING: The pixel values were inferred"
    )
    self.assertIn("rule_pixels", made.notes[1])

  def test_a_model_that_rescales_says_what_it_takes(self):
    for layer, pixels in (
      (keras.layers.Rescaling(1 / 255), "0,255"),
      (keras.layers.Rescaling(2.0, -1.0), "0,1"),
    ):
      made, _ = _rule(rule=_keras(layer), rule_class="1")
      self.assertIn(f"pixels are {pixels}.", made.notes[0])
      self.assertLen(made.notes, 1)

  @parameterized.parameters(
    (lambda x: _logits(x), "softmax"),
    (lambda x: 1 / (1 + np.exp(-_logits(x)[:, 1:])), "probabilities"),
    (lambda x: _logits(x)[:, 1], "sigmoid"),
    (lambda x: tf.nn.softmax(_logits(x)), "probabilities"),
    (lambda x: tf.nn.log_softmax(_logits(x)), "softmax"),
    (
      lambda x: np.stack([20 * x[:, 0, 0, 0] - 10, _logits(x)[:, 1]], 1),
      "sigmoid",
    ),
  )
  def test_outputs_are_found_out_from_the_numbers(self, classify, outputs):
    columns = np.reshape(classify(_images(2)), [2, -1]).shape[1]
    made, read = _rule(rule=classify, rule_class=columns - 1, rule_pixels="0,1")
    self.assertEqual(made.identity["outputs"], outputs)
    np.testing.assert_array_equal(read > 0.5, _bright(_images()))
    self.assertTrue(((read >= 0.0) & (read <= 1.0)).all())

  @parameterized.parameters(
    ({}, _images()),
    ({"batch_size": 16}, _images(50)),
    ({"shape": (16, 12, 3)}, _images()),
    ({"shape": (8, 8, 1)}, _images()),
    ({"shape": (3, 8, 8)}, _images()),
    ({"shape": (8, 8)}, _images()),
    ({"shape": (192,)}, _images()),
    ({"shape": (64,)}, _images()),
    ({"shape": (8, 8, 3)}, _images(channels=1)),
  )
  def test_images_come_as_the_model_takes_them(self, model, images):
    made = _keras(**model)
    _, read = _rule(images, rule=made, rule_class=1, rule_pixels="0,1")
    np.testing.assert_array_equal(read > 0.5, _bright(images))

  def test_a_file_says_the_same_as_the_model(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    model = _keras()
    model.save(folder / "judge.keras")
    model.export(str(folder / "exported"), verbose=False)
    (folder / "names.txt").write_text("Dark\nVery bright\n\n")
    names = str(folder / "names.txt")
    _, expected = _rule(rule=model, rule_class=1)
    for settings in (
      {"rule": str(folder / "judge.keras"), "rule_class": "1"},
      {"rule": folder / "judge.keras", "rule_class": "1"},
      {"rule": f"{folder}/judge.keras:1"},
      {"rule": f"{folder}/judge.keras:Very bright", "rule_labels": names},
      {"rule": str(folder / "exported"), "rule_class": "1"},
    ):
      with self.subTest(settings):
        _, read = _rule(**settings)
        np.testing.assert_allclose(read, expected, atol=1e-5)

  def test_what_takes_no_images_is_named(self):
    with self.assertRaisesRegex(
      ValueError, "takes 7 numbers, which are no squ"
    ):
      _rule(rule=_keras(shape=(7,)), rule_class=1)

  def test_heads_are_classes(self):
    def classify(images):
      bright = _logits(images)[:, 1:]
      return {"smiling": -bright, "bright": bright}

    made, read = _rule(rule=classify, rule_class="bright", rule_pixels="0,1")
    np.testing.assert_array_equal(read > 0.5, _bright(_images()))
    with self.assertRaisesRegex(ValueError, "has the outputs .*: give a"):
      _rule(rule=classify, rule_class="birght")

  @parameterized.parameters(
    ({}, "2 classes, and rule_class is None: give a number from 0 to 1"),
    ({"rule_class": 2}, "rule_class is 2: give a number from 0 to 1, or a"),
    ({"rule_class": "smiling"}, "is 'smiling': give a number .* rule_labels"),
    (
      {"rule_class": "brigt", "rule_labels": ["dark", "bright"]},
      "is 'brigt': did you mean bright",
    ),
    (
      {"rule_class": "a", "rule_labels": ["a", "b", "c"]},
      "3 names of classes, and .* has 2 classes",
    ),
    ({"rule_class": 1, "rule_labels": "gone.txt"}, "'gone.txt' cannot be read"),
    (
      {"rule_class": 1, "rule_pixels": "1"},
      "Unknown pixels '1': give the values",
    ),
    ({"rule_class": 1, "rule_pixels": "1,0"}, "Unknown pixels '1,0'"),
  )
  def test_what_is_wrong_is_named(self, settings, message):
    with self.assertRaisesRegex(ValueError, message):
      _rule(rule=_keras(), **settings)

  @parameterized.parameters(
    ({"rule": "gone.keras"}, FileNotFoundError, "no file .*'gone.keras'"),
    ({"rule": "my_rules"}, ValueError, "does not say where a function is"),
    (
      {"rule": lambda x: x.mean(), "rule_class": 1},
      ValueError,
      "must give a row for each",
    ),
    (
      {"rule": lambda x: _logits(x) * np.nan, "rule_class": 1},
      ValueError,
      "NaN",
    ),
  )
  def test_what_is_no_classifier_is_named(self, settings, error, message):
    with self.assertRaisesRegex(error, message):
      _rule(**settings)


class PicturesTest(parameterized.TestCase):
  def _folders(self, count, images=None):
    """Returns two folders: bright pictures, and dark ones."""
    images = _images(2 * count) if images is None else images
    folder = pathlib.Path(self.create_tempdir().full_path)
    both = []
    for name, some in (
      ("bright", images[_bright(images)]),
      ("dark", images[~_bright(images)]),
    ):
      (folder / name).mkdir()
      for number, image in enumerate(some):
        picture = Image.fromarray(np.uint8(255 * image)).resize([20, 30])
        picture.save(folder / name / f"{number}.png")
      both.append(str(folder / name))
    return both

  def test_images_are_like_one_kind_of_pictures(self):
    like, unlike = self._folders(40)
    made, read = _rule(like=like, unlike=unlike)
    self.assertGreater(np.mean((read > 0.5) == _bright(_images())), 0.95)
    self.assertTrue(made.identity["trustworthy"])
    self.assertEqual(made.identity["like"], 40)
    self.assertIn("by the generator's encoder", made.notes[0])

  def test_another_network_s_features_and_its_pixels(self):
    like, unlike = self._folders(20)
    made, read = _rule(
      like=like,
      unlike=unlike,
      features=lambda x: np.tanh(4 * x.mean(axis=(1, 2)) - 2) ** 3,
    )
    self.assertGreater(np.mean((read > 0.5) == _bright(_images())), 0.9)
    self.assertRegex(made.identity["features"], "function .pixels")

  def test_few_pictures_are_not_to_be_relied_on(self):
    like, unlike = self._folders(6)
    made, _ = _rule(like=like, unlike=unlike)
    self.assertFalse(made.identity["trustworthy"])
    self.assertIn("WARNING: this is unreliable", made.notes[0])

  def test_what_cannot_be_told_apart_is_said_to_be(self):
    images = _images(80)
    made = pictures.Pictures(
      images[:40],
      images[40:],
      lambda x: x[:, 0, 0],
      {"rule": "a", "features": "b"},
    )
    known = made.figures["balanced_accuracy"]
    self.assertBetween(known["value"], 0.3, 0.7)
    self.assertFalse(made.identity["trustworthy"])

  def test_what_is_wrong_with_pictures_is_named(self):
    like, unlike = self._folders(6)
    empty = self.create_tempdir().full_path
    pathlib.Path(empty, "notes.txt").write_text("")
    few = self.create_tempdir().full_path
    Image.new("RGB", [9, 9]).save(os.path.join(few, "one.png"))
    damaged = self.create_tempdir().full_path
    pathlib.Path(damaged, "bad.png").write_bytes(b"\x89PNG")
    for settings, message in (
      ({"like": like}, "two folders: like these"),
      ({"like": like, "unlike": "gone"}, "no folder 'gone'"),
      ({"like": like, "unlike": empty}, "has no pictures"),
      ({"like": like, "unlike": few}, "There are 1 pictures .* at least 5"),
      ({"like": like, "unlike": damaged}, "bad.png cannot be read as a pictur"),
      ({"like": like, "unlike": like}, "6 pictures are in both"),
      (
        {"like": like, "unlike": unlike, "features": "gone.keras"},
        "no file .*'gone.keras'",
      ),
    ):
      with self.assertRaisesRegex((ValueError, FileNotFoundError), message):
        _rule(**settings)
    with self.assertRaisesRegex(ValueError, "neither a classifier nor an enco"):
      kinds.make(recipes.Rule(like=like, unlike=unlike), _parts(encodes=False))


class _ImageText:
  """A fake model of images and text: knows two words, and brightness."""

  def encode_image(self, images):
    assert images.shape[-1] == 3
    bright = images.mean(axis=(1, 2, 3))
    return np.stack([bright, 1.0 - bright], axis=1)

  def encode_text(self, sentences):
    return tf.constant(
      [[1.0, 0.0] if "bright" in s else [0.0, 1.0] for s in sentences]
    )


class SentenceTest(parameterized.TestCase):
  def test_an_image_fits_one_sentence_better_than_another(self):
    _, read = _rule(
      sentence="a bright day", against="a night", image_text=_ImageText()
    )
    self.assertGreater(np.mean((read > 0.5) == _bright(_images())), 0.9)

  def test_a_sentence_alone_accepts_the_best_quarter(self):
    for channels in (1, 3):
      images = _images(channels=channels)
      made, read = _rule(images, sentence="a night", image_text=_ImageText())
      self.assertBetween(np.mean(read > 0.5), 0.2, 0.3)
      self.assertLess(images[read > 0.5].mean(), images[read < 0.5].mean())
      self.assertIn("the best 25% of these", made.notes[0])

  def test_a_model_may_be_named(self):
    for model in (f"{__name__}:_ImageText", f"{__name__}:_MODEL", _ImageText):
      _rule(sentence="a bright day", against="a night", image_text=model)

  @parameterized.parameters(
    ({"image_text": None}, "needs a model that reads it"),
    ({"image_text": type("Clip", (), {})}, "type has no method encode_image"),
    ({"image_text": 3}, "int has no method encode_image"),
    ({"image_text": "math:sqrt"}, "math:sqrt, which should return an image-te"),
    ({"sentence": " "}, "sentence is empty"),
    (
      {
        "image_text": types.SimpleNamespace(
          encode_image=lambda x: x, encode_text=lambda x: np.ones([1, 2])
        )
      },
      r"encode_image .* gives \[64, 8, 8, 3\] for 64 rows",
    ),
    (
      {
        "image_text": types.SimpleNamespace(
          encode_image=lambda x: x[:, 0, 0],
          encode_text=lambda x: np.ones([1, 2]),
        )
      },
      "vectors of 3 numbers and sentences of 2",
    ),
    (
      {"image_text": types.SimpleNamespace(encode_image=len, encode_text=abs)},
      "encode_text of the image-text model fails on 1 rows: TypeError",
    ),
  )
  def test_what_is_no_image_text_model_is_named(self, settings, message):
    with self.assertRaisesRegex(ValueError, message):
      _rule(**{"sentence": "a day", "image_text": _ImageText(), **settings})


_MODEL = _ImageText()


class KindsTest(parameterized.TestCase):
  @parameterized.parameters(
    ({}, "Say what the constraint is, with one of: rule"),
    ({"rule": _bright, "like": "a"}, "rule cannot be given with .* pictures"),
    ({"rule": _bright, "rule_labels": "a"}, "rule_labels cannot be given with"),
    ({"sentence": "a", "features": "b"}, "features cannot be given with"),
    ({"against": "a"}, "Say what the constraint is"),
  )
  def test_settings_must_go_together(self, settings, message):
    with self.assertRaisesRegex(ValueError, message):
      kinds.make(recipes.Rule(**settings), _parts())

  def test_a_function_of_images_stays_what_it_was(self):
    made, read = _rule(rule=_bright)
    np.testing.assert_array_equal(read, _bright(_images()))
    self.assertIs(kinds.make(recipes.Rule(rule=made), _parts()), made)
    with self.assertRaisesRegex(ValueError, "threshold cannot be given with a"):
      kinds.make(recipes.Rule(rule=made, threshold=0.5), _parts())

  def test_a_threshold_is_asked_of_any_kind(self):
    _, read = _rule(
      rule=_logits, rule_class=1, rule_pixels="0,1", target_range="0.2,0.8"
    )
    self.assertEqual(set(read), {0.0, 1.0})
