"""Tests of images and labels from memory, tf.data and named data sets."""

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_probability as tfp
from absl.testing import parameterized

from lc_keras.constraints import attributes
from lc_keras.data import arrays
from lc_keras.data import latents
from lc_keras.data import pipeline

_SHAPE = (4, 6, 1)
_NAMES = ("A", "B", "C")


def _examples(count=23):
  """Images that carry their number, and three labels each."""
  images = np.zeros([count, *_SHAPE], np.uint8)
  images += np.arange(count, dtype=np.uint8)[:, None, None, None]
  labels = np.stack([np.arange(count) >> bit & 1 for bit in range(3)], -1)
  return images, labels


def _numbers(batches):
  """Returns the numbers of the images in batches, a list for each batch."""
  return [np.rint(b["image"][:, 0, 0, 0] * 255).astype(int) for b in batches]


def _forms(images, labels):
  """The same examples in every form."""
  pairs = tf.data.Dataset.from_tensor_slices((images, labels))
  named = dict(zip(_NAMES, labels.T))
  return {
    "arrays": (images, labels, _NAMES),
    "floats": (np.float32(images) / 255, labels.astype(bool), _NAMES),
    "tuple": ((images, labels), None, _NAMES),
    "frame": (images, pd.DataFrame(named)),
    "dictionary": (images, named),
    "pairs": (pairs, None, _NAMES),
    "batches": (pairs.batch(7), None, _NAMES),
    "dictionaries": (
      pairs.map(lambda x, y: {"image": x, "attributes": y}),
      None,
      _NAMES,
    ),
    "columns": (
      tf.data.Dataset.from_tensor_slices((images, named)),
      None,
    ),
  }


class ArraysTest(parameterized.TestCase, tf.test.TestCase):
  @parameterized.parameters(
    "arrays",
    "floats",
    "tuple",
    "frame",
    "dictionary",
    "pairs",
    "batches",
    "dictionaries",
    "columns",
  )
  def test_every_form_gives_the_same_batches(self, form):
    images, labels = _examples()
    data = arrays.source(*_forms(images, labels)[form])
    self.assertEqual(data.image_shape, _SHAPE)
    self.assertEqual(data.attributes.names, _NAMES)
    batches = list(data.batches("all", 10))
    self.assertEqual([len(batch["image"]) for batch in batches], [10, 10, 3])
    for name, expected in (("image", images / 255), ("attributes", labels)):
      joined = tf.concat([batch[name] for batch in batches], axis=0)
      self.assertEqual(joined.dtype, tf.float32)
      self.assertAllClose(joined, expected)

  @parameterized.parameters("arrays", "pairs")
  def test_splits_are_disjoint_and_depend_on_the_number_alone(self, form):
    more = _examples(60)
    fewer = _examples(40)
    parts = []
    for examples in (more, fewer):
      data = arrays.source(*_forms(*examples)[form], validation_split=0.2)
      parts.append(
        [np.concatenate(_numbers(data.batches(s, 7))) for s in data.splits]
      )
    train, validation = parts[0]
    self.assertAllEqual(np.sort([*train, *validation]), np.arange(60))
    self.assertBetween(len(validation), 10, 14)
    self.assertAllEqual(validation[validation < 40], parts[1][1])
    for modulus in (2, 3, 5, 10):
      self.assertLen(set(validation % modulus), min(modulus, len(validation)))

  @parameterized.parameters("arrays", "pairs")
  def test_training_goes_on_where_it_stopped(self, form):
    data = arrays.source(*_forms(*_examples())[form], validation_split=0.1)
    count = len(np.concatenate(_numbers(data.batches("train", 5))))

    def train(take, **options):
      stream = data.batches("train", 5, training=True, **options)
      return np.stack(_numbers(stream.take(take)))

    whole = train(12, seed=3)
    self.assertAllEqual(whole[7:], train(5, seed=3, start_step=7))
    self.assertNotAllEqual(whole, train(12, seed=4))
    epochs = whole.ravel()[: 2 * count].reshape(2, count)
    self.assertAllEqual(np.sort(epochs[0]), np.sort(epochs[1]))
    self.assertLen(set(epochs[0]), count)
    self.assertNotAllEqual(epochs[0], epochs[1])

  @parameterized.parameters(True, False)
  def test_whole_numbers_are_classes(self, stream):
    images, _ = _examples()
    classes = np.arange(23) % 3
    pairs = (images, classes)
    if stream:
      pairs = tf.data.Dataset.from_tensor_slices(pairs)
    data = arrays.source(pairs, attributes=_NAMES)
    (batch,) = data.batches("all", 23)
    self.assertAllEqual(batch["attributes"], np.eye(3)[classes])
    self.assertEqual(data.attributes.exclusive, (_NAMES,))

  @parameterized.parameters(True, False)
  def test_nothing_need_be_known_of_images(self, stream):
    images, _ = _examples()
    if stream:
      images = tf.data.Dataset.from_tensor_slices(images)
    data = arrays.source(images)
    (batch,) = data.batches("all", 23)
    self.assertEqual(batch["attributes"].shape, [23, 0])

  def test_degrees_are_found_and_columns_chosen(self):
    images, labels = _examples()
    frame = pd.DataFrame({"A": labels[:, 0], "Half": labels[:, 1] / 2.0})
    self.assertEqual(
      arrays.source(images, frame).attributes.continuous, ("Half",)
    )
    data = arrays.source(images, frame, ["half"])
    self.assertEqual(data.attributes.names, ("Half",))
    own = attributes.Attributes(("A", "B", "C"), (("A", "B"),))
    self.assertIs(arrays.source(images, labels, own).attributes, own)

  def test_a_name_is_a_prepared_data_set(self):
    name = "toon_faces/tiny"
    folder = self.create_tempdir().full_path
    data = arrays.source(name, attributes=["Smiling"], data_dir=folder)
    stored = pipeline.load(
      name, "test", 9, data_dir=folder, attributes=["Smiling"]
    )
    for ours, theirs in zip(data.batches("test", 9), stored, strict=True):
      self.assertAllEqual(ours["image"], theirs["image"])
      self.assertAllEqual(ours["attributes"], theirs["attributes"])
    self.assertEqual(data.splits, ("train", "validation", "test"))

  @parameterized.parameters("arrays", "pairs")
  def test_encoding_looks_at_each_image_once(self, form):
    images, labels = _examples()
    form = list(_forms(images, labels)[form])
    seen = []
    if isinstance(form[0], tf.data.Dataset):

      def look(image, label):
        seen.append(int(image[0, 0, 0]))
        return image

      form[0] = form[0].map(
        lambda x, y: (
          tf.ensure_shape(tf.numpy_function(look, [x, y], tf.uint8), _SHAPE),
          y,
        )
      )

    class Mean:
      def encode(self, images):
        mean = tf.reduce_mean(images, axis=[1, 2, 3])[:, tf.newaxis] * 255
        return tfp.distributions.MultivariateNormalDiag(mean, tf.ones([1]))

    data = arrays.source(*form, validation_split=0.3)
    splits = data.encode(Mean(), 5)
    for split in data.splits:
      self.assertIsInstance(splits[split], latents.Latents)
      numbers = np.concatenate(_numbers(data.batches(split, 5)))
      self.assertAllClose(splits[split].mean[:, 0], numbers)
      self.assertAllEqual(splits[split].attributes, labels[numbers])

  @parameterized.parameters(
    (np.zeros([3, 4, 6], np.uint8), None, None, r"\[n, height, width"),
    (np.zeros([3, *_SHAPE], np.int32), None, None, "int32"),
    (np.full([3, *_SHAPE], 1.5), None, None, r"in \[0, 1\]; got .* to 1.5"),
    (np.full([3, *_SHAPE], np.nan), None, None, "nan"),
    (np.zeros([3, *_SHAPE]), np.zeros([2, 1]), ["A"], r"\[3, 1\].*\[2, 1\]"),
    (np.zeros([3, *_SHAPE]), np.zeros([3, 2]), ["A"], r"\[3, 1\].*\[3, 2\]"),
    (np.zeros([3, *_SHAPE]), np.full([3, 1], -1), ["A"], "A of row 0 is -1"),
    (np.zeros([3, *_SHAPE]), np.array([0, 1, 2]), ["A", "B"], "Classes"),
    (np.zeros([3, *_SHAPE]), np.zeros([3, 1]), None, "must name"),
    (np.zeros([3, *_SHAPE]), np.zeros([3, 1]), "A", "must name"),
    (np.zeros([3, *_SHAPE]), None, ["A"], "no labels"),
    (np.zeros([3, *_SHAPE]), {"Happy": np.zeros(3)}, ["Hapy"], "Happy"),
    (np.zeros([3, *_SHAPE]), {"File": list("abc")}, None, "numbers or boole"),
    (np.zeros([3, *_SHAPE]), "mine.csv", ["A"], "'mine.csv'. .*read_csv"),
    ({"a": 1}, None, None, "got a dict"),
    ([np.zeros(_SHAPE), np.zeros([2, 2, 3])], None, None, "of one shape"),
    ("imagenet", None, None, "Your own pictures are images:FOLDER"),
    ("toon_faces/tiny", np.zeros([3, 1]), ["A"], "labels of its own"),
    (tf.data.Dataset.range, None, None, "height"),
  )
  def test_one_sentence_says_what_does_not_fit(
    self, images, labels, names, message
  ):
    # Data sets are made here, since they start TensorFlow.
    images = images(3) if callable(images) else images
    with self.assertRaisesRegex(ValueError, message):
      arrays.source(images, labels, names)

  def test_streams_are_checked_as_they_are_read(self):
    images = np.full([3, *_SHAPE], 7.0)
    data = arrays.source(tf.data.Dataset.from_tensor_slices(images))
    with self.assertRaisesRegex(
      tf.errors.InvalidArgumentError, r"floats must be in \[0, 1\]"
    ):
      list(data.batches("all", 2))

  def test_splits_and_batches_that_are_not_there(self):
    data = arrays.source(*_examples(), _NAMES)
    with self.assertRaisesRegex(ValueError, "train, validation, all"):
      data.batches("test", 2)
    with self.assertRaisesRegex(ValueError, "too few for a batch of 99"):
      data.batches("train", 99, training=True)
    with self.assertRaisesRegex(ValueError, "in .0, 1.; got 1"):
      arrays.source(*_examples(), _NAMES, validation_split=1)

  def test_images_alone_are_checked(self):
    images, _ = _examples()
    self.assertAllClose(arrays.check_images(images, _SHAPE), images / 255)
    with self.assertRaisesRegex(ValueError, r"\[n, 4, 6, 3\]"):
      arrays.check_images(images, (4, 6, 3))
