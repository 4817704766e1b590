"""Images and labels from memory, from tf.data, or from a named data set.

`source` takes any of them and gives the same batches as `pipeline.load`:
{"image": float32 [batch, height, width, channels] in [0, 1], "attributes":
float32 [batch, num_attributes] in [0, 1]}. Images of uint8 are divided by 255;
images of floats must be in [0, 1].

>>> import numpy as np
>>> from lc_keras.data import arrays
>>> images = np.zeros([6, 8, 16, 3], np.uint8)
>>> data = arrays.source(images, {"Smiling": [0, 1, 1, 0, 1, 0]})
>>> data.image_shape, data.attributes.names
((8, 16, 3), ('Smiling',))
>>> [len(batch["image"]) for batch in data.batches("all", 4)]
[4, 2]
"""

import abc
import os
import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
import tensorflow as tf

from lc_keras import batched
from lc_keras.constraints import attributes as attribute_sets
from lc_keras.data import label_columns
from lc_keras.data import latents
from lc_keras.data import pipeline
from lc_keras.data import preprocessing as preprocessings
from lc_keras.data import streams
from lc_keras.data import tables

TRAIN = "train"
VALIDATION = "validation"
ALL = "all"

# Multiples of it, modulo 1, are spread evenly and never fall into step with a
# pattern in the data, as every tenth row would.
_GOLDEN_RATIO = 0.6180339887498949
# Rows that are checked at a time, so that mapped files stay on disk.
_PIECE = 1024
# Shuffle buffer of a stream in training, in decoded images.
_SHUFFLE_BUFFER = 4096


class Source(abc.ABC):
  """Labelled images that can be read in batches.

  Attributes:
    image_shape: (height, width, channels).
    attributes: `attributes.Attributes`, the meaning of the label columns.
    splits: Names of the splits; images from memory and tf.data have "all", too.
  """

  image_shape: tuple[int, int, int]
  attributes: attribute_sets.Attributes
  splits: tuple[str, ...] = (TRAIN, VALIDATION)

  @property
  def preprocessing(self) -> preprocessings.Preprocessing:
    """The preprocessing that turns a picture into such an image."""
    return preprocessings.Preprocessing(self.image_shape)

  def file_names(self, split: str) -> list[str] | None:
    """Returns the names of a split's files in order; None if it has none."""
    del split

  @abc.abstractmethod
  def batches(
    self,
    split: str,
    batch_size: int,
    *,
    training: bool = False,
    seed: int = 0,
    start_step: int = 0,
  ) -> tf.data.Dataset:
    """Reads a split: in order and once, or shuffled without end.

    Args:
      split: One of `splits`.
      batch_size: Examples in a batch.
      training: Whether to shuffle anew every epoch, without end, in whole
        batches.
      seed: Order of the training examples.
      start_step: Number of batches that training has already used.

    Returns:
      Batches of "image" and "attributes", see the module.

    Raises:
      ValueError: There is no such split, or too little data for a batch.
    """

  def encode(self, generator, batch_size: int = 256) -> dict:
    """Encodes every image once.

    Args:
      generator: A model with `encode(images)`.
      batch_size: Images encoded at once; fewer if they are large.

    Returns:
      {split: latents.Latents}, the rows of `batches(split, ...)` in order.
    """
    batch_size = batched.rows_at_once(self.image_shape, batch_size)
    encode = latents.encoder(generator)
    return {
      split: latents.join(map(encode, self.batches(split, batch_size)))
      for split in self.splits
    }


class _Divided(Source):
  """Examples without splits; a share of them is held out for validation."""

  def __init__(self, validation_split):
    if not 0.0 <= validation_split < 1.0:
      raise ValueError(
        f"validation_split must be in [0, 1); got {validation_split}."
      )
    self._share = validation_split

  def encode(self, generator, batch_size=256):
    batch_size = batched.rows_at_once(self.image_shape, batch_size)
    # One pass, since a stream may be slow, and shuffled differently each time.
    batches = self.batches(ALL, batch_size)
    rows = latents.join(map(latents.encoder(generator), batches))
    held = held_out(np.arange(len(rows)), self._share).numpy()
    return {TRAIN: rows.take(~held), VALIDATION: rows.take(held)}

  def _finished(self, batches, read):
    """Reads and checks the arrays of every batch by `read`."""

    def finish(*parts):
      image, label = tf.numpy_function(
        read, parts, [tf.float32, tf.float32], stateful=False
      )
      size = parts[0].shape[:1]
      image.set_shape([*size, *self.image_shape])
      label.set_shape([*size, len(self.attributes)])
      return {"image": image, "attributes": label}

    return batches.map(finish).prefetch(2).apply(streams.untuned)

  def _is_in(self, split, rows):
    """Says which rows belong to a split, bool [n] or a scalar."""
    if split == ALL:
      return tf.ones_like(rows, tf.bool)
    if split not in self.splits:
      raise ValueError(
        f"There is no split {split!r}; choose one of "
        f"{', '.join((*self.splits, ALL))}."
      )
    return held_out(rows, self._share) == (split == VALIDATION)


class _Arrays(_Divided):
  """Images in a NumPy array, which may be a mapped file."""

  def __init__(self, images, labels, attributes, validation_split, are_images):
    super().__init__(validation_split)
    self._images = _checked(images, are_images)
    self._labels, self.attributes = label_columns.read(
      labels, attributes, len(images)
    )
    self.image_shape = self._images.shape[1:]

  def batches(self, split, batch_size, *, training=False, seed=0, start_step=0):
    pipeline.check_start(training, start_step)
    rows = np.arange(len(self._images))
    rows = rows[self._is_in(split, rows).numpy()]
    if not len(rows) or (training and batch_size > len(rows)):
      raise ValueError(
        f"The split {split} has {len(rows)} images, too few for a batch of "
        f"{batch_size}."
      )
    order = tf.data.Dataset.from_tensor_slices(rows)
    if training:
      order = streams.shuffled_without_end(
        order, seed, len(rows), start_step * batch_size, len(rows)
      )
    return self._finished(
      order.batch(batch_size, drop_remainder=training),
      lambda row: (_scaled(self._images[row]), self._labels[row]),
    )


class _Stream(_Divided):
  """Images of a tf.data.Dataset, never held all at once."""

  def __init__(self, dataset, attributes, validation_split):
    super().__init__(validation_split)
    image, _ = _image_and_label(dataset.element_spec)
    self._dataset = dataset.unbatch() if image.shape.rank == 4 else dataset
    image, label = _image_and_label(self._dataset.element_spec)
    if image.shape.rank != 3 or None in image.shape:
      raise ValueError(
        "A data set must give images of one shape [height, width, channels], "
        f"alone or in batches; these have the shape {image.shape}."
      )
    self.image_shape = tuple(image.shape)
    self.attributes = label_columns.describe(label, attributes)

  def batches(self, split, batch_size, *, training=False, seed=0, start_step=0):
    pipeline.check_start(training, start_step)
    examples = self._dataset.map(self._parts)
    if split != ALL:
      examples = examples.enumerate()
      examples = examples.filter(lambda row, _: self._is_in(split, row))
      examples = examples.map(lambda _, parts: parts)
    if training:
      examples = streams.shuffled_without_end(examples, seed, _SHUFFLE_BUFFER)
      # The length of an epoch is unknown, so that skipped examples are read.
      examples = examples.skip(start_step * batch_size)
    names = self.attributes.names
    return self._finished(
      examples.batch(batch_size, drop_remainder=training),
      lambda image, label: (
        _scaled(_checked(image)),
        label_columns.check(label, names, len(image)),
      ),
    )

  def _parts(self, *element):
    image, label = _image_and_label(element if element[1:] else element[0])
    if isinstance(label, Mapping):
      columns = [label[name] for name in self.attributes.names]
      label = tf.stack([tf.cast(c, tf.float32) for c in columns])
    return image, tf.zeros([0]) if label is None else label


class _Stored(Source):
  """A prepared data set, with its own splits."""

  def __init__(self, name, labels, attributes, data_dir):
    bad = pipeline.prepare(name, data_dir, max_bad_examples=None)
    spec = pipeline.describe(name, data_dir)
    if bad:
      warnings.warn(
        f"{len(bad)} bad examples of {name} are left out. The first: {bad[0]}.",
        stacklevel=3,
      )
    self._name, self._data_dir, self._spec = name, data_dir, spec
    self.image_shape = spec.image_shape
    self.splits = tuple(s for s in spec.splits if s != pipeline.BALANCED)
    known, names = spec.attributes, spec.all_attributes
    self._labels = {}
    if labels is not None:
      known = self._read_labels(labels)
      names = known.names
    self.attributes = known
    if attributes is not None:
      groups = (known.exclusive, known.continuous)
      self.attributes = attribute_sets.Attributes(
        label_columns.names(names, attributes), *groups
      )
      columns = [names.index(name) for name in self.attributes.names]
      self._labels = {k: rows[:, columns] for k, rows in self._labels.items()}

  def _read_labels(self, labels):
    """Reads labels by file name for all splits; returns their attributes."""
    table = tables.by_file_name(pd.DataFrame(labels), "The table of labels")
    values, known, _ = label_columns.from_table(table, "The table of labels")
    # The last row is for images that the table does not have.
    values = np.append(values, np.full([1, len(known)], np.nan), axis=0)
    for split in self.splits:
      files = self.file_names(split)
      if files is None:
        raise ValueError(
          f"The images of {self._name} have no file names: leave `labels` out, "
          "and choose with `attributes`."
        )
      rows = tables.match(files, list(table.index))
      self._labels[split] = values[rows].astype(np.float32)
    if np.isnan(self._labels[self.splits[0]]).all():
      raise ValueError(
        "The table of labels has no row of a training image: its file names "
        f"are like {table.index[0]!r}, those of the images like {files[0]!r}."
      )
    return known

  def file_names(self, split):
    """See base class."""
    return pipeline.file_names(self._name, split, data_dir=self._data_dir)

  @property
  def preprocessing(self):
    return self._spec.preprocessing

  def batches(self, split, batch_size, *, training=False, seed=0, start_step=0):
    return pipeline.load(
      self._name,
      split,
      batch_size,
      data_dir=self._data_dir,
      attributes=() if self._labels else self.attributes.names,
      labels=self._labels.get(split),
      training=training,
      seed=seed,
      start_step=start_step,
    )


def source(
  images,
  labels=None,
  attributes=None,
  *,
  validation_split: float = 0.1,
  data_dir: str = "data",
  are_images: bool = True,
) -> Source:
  """Returns a `Source` of images and labels given in any of several forms.

  Args:
    images: [n, height, width, channels], uint8 or floats in [0, 1]; or a pair
      (images, labels); or a tf.data.Dataset of images, of pairs (image, label)
      or of {"image": ..., "attributes": ...}, alone or in batches; or the name
      of a data set, see `pipeline`.
    labels: For images in an array: [n, num_attributes] in [0, 1]; [n] of one
      attribute; [n] integers, one class for each name of `attributes`; or
      columns by name, a dictionary or a pandas frame. For a named data set
      with files, such as `images:FOLDER`: a frame with a column `file_name`,
      or with file names as its index. None if nothing is known of the images,
      or for the data set's own.
    attributes: Names of the label columns, or an `attributes.Attributes`. For
      a dictionary, a frame or a data set, they select columns by name; None
      takes those that it has.
    validation_split: Share of examples that are held out, see `held_out`. A
      named data set has splits of its own.
    data_dir: Folder of prepared data sets; a named one is prepared there.
    are_images: Whether these are images; else floats in an array [n, ...], of
      any shape and range.

  Raises:
    ValueError: Images, labels and names do not match.
  """
  if isinstance(images, tuple):
    if labels is not None or len(images) != 2:
      raise ValueError(
        "A tuple must be (images, labels), without another argument `labels`."
      )
    images, labels = images
  is_table = isinstance(images, str) and hasattr(labels, "columns")
  is_set = isinstance(images, (str, tf.data.Dataset))
  if is_set and labels is not None and not is_table:
    raise ValueError(
      "A data set has labels of its own: leave `labels` out, and choose with "
      "`attributes`; or give a pandas frame with a column file_name for a data "
      "set of files."
    )
  if isinstance(images, str):
    return _Stored(images, labels, attributes, data_dir)
  if isinstance(labels, (str, os.PathLike)):
    raise ValueError(
      f"Labels of images in an array are arrays or columns; got {labels!r}. "
      "Read a file first, such as with pandas.read_csv."
    )
  if isinstance(images, tf.data.Dataset):
    return _Stream(images, attributes, validation_split)
  return _Arrays(images, labels, attributes, validation_split, are_images)


def check_images(images, image_shape=None, are_images=True) -> np.ndarray:
  """Returns images as float32 [n, height, width, channels] in [0, 1].

  Args:
    images: [n, height, width, channels], uint8 or floats in [0, 1].
    image_shape: (height, width, channels) that they must have; None allows
      any.
    are_images: Whether these are images, see `source`.

  Raises:
    ValueError: The images have a wrong shape, type or range.

  >>> import numpy as np
  >>> from lc_keras.data import arrays
  >>> arrays.check_images(np.full([2, 1, 1, 1], 255, np.uint8)).ravel()
  array([1., 1.], dtype=float32)
  """
  images = _checked(images, are_images)
  if image_shape is not None and images.shape[1:] != tuple(image_shape):
    raise ValueError(
      f"Images must have the shape [n, {', '.join(map(str, image_shape))}]; "
      f"got {list(images.shape)}."
    )
  return _scaled(images)


def held_out(rows, share: float) -> tf.Tensor:
  """Says which rows are held out for validation, by their numbers alone.

  Args:
    rows: int [n] or scalar, numbers of rows.
    share: In [0, 1), their approximate share.

  Returns:
    bool, shaped like `rows`.

  >>> import numpy as np
  >>> from lc_keras.data import arrays
  >>> arrays.held_out(np.arange(8), 0.25).numpy().astype(int)
  array([1, 0, 1, 0, 0, 1, 0, 0])
  """
  places = tf.cast(rows, tf.float64) * _GOLDEN_RATIO
  return places - tf.floor(places) < share


def _checked(images, are_images=True):
  """Returns images as an array, after checking shape, type and range."""
  given = type(images).__name__
  try:
    images = images if isinstance(images, np.ndarray) else np.asarray(images)
  except ValueError:
    raise ValueError(
      "Images must be of one shape, [n, height, width, channels]; got a "
      f"{given} of several."
    ) from None
  except (TypeError, RuntimeError) as error:
    raise ValueError(
      "Images must be an array [n, height, width, channels], and a "
      f"{given} cannot be made one: {error}"
    ) from error
  if not are_images and images.shape:
    if images.dtype.kind != "f" or not np.isfinite(images).all():
      raise ValueError(
        "Arrays that are not images must be finite floats [n, ...]; got "
        f"{images.dtype}{list(images.shape)}."
      )
    return images
  if not images.shape:
    raise ValueError(
      f"Images must have the shape [n, height, width, channels]; got a {given}."
    )
  if images.ndim != 4:
    raise ValueError(
      "Images must have the shape [n, height, width, channels]; got "
      f"{list(images.shape)}."
    )
  if images.dtype == np.uint8:
    return images
  if not np.issubdtype(images.dtype, np.floating):
    raise ValueError(
      f"Images must be uint8, or floats in [0, 1]; got {images.dtype}."
    )
  for start in range(0, len(images), _PIECE):
    piece = images[start : start + _PIECE]
    if not ((piece >= 0.0) & (piece <= 1.0)).all():  # False for NaN.
      raise ValueError(
        "Images of floats must be in [0, 1]; got values from "
        f"{np.min(piece):.4g} to {np.max(piece):.4g}."
      )
  return images


def _scaled(images):
  divisor = np.float32(255 if images.dtype == np.uint8 else 1)
  return images.astype(np.float32) / divisor


def _image_and_label(element):
  """Returns image and label of an element of a data set, or of its spec."""
  if isinstance(element, Mapping):
    if "image" not in element:
      raise ValueError(
        "A data set of dictionaries must have the keys image and attributes; "
        f"these have {', '.join(element)}."
      )
    return element["image"], element.get("attributes")
  if isinstance(element, tuple):
    return element[0], element[1] if len(element) > 1 else None
  return element, None
