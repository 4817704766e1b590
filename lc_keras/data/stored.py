"""Stored data sets: how each is built, and how its examples are read."""

import dataclasses
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing import pool as pools
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from lc_keras import files
from lc_keras.constraints import attributes as attribute_sets
from lc_keras.data import images
from lc_keras.data import preprocessing as preprocessings

SPLITS = ("train", "validation", "test")
# Description of a data set that `from_examples` wrote, beside its files.
_ABOUT = "about.json"
_PNG_LEVEL = 3  # the fastest, and within 3% of the smallest
_AT_ONCE = 256  # pictures that are read ahead


class Example(NamedTuple):
  """An image to be stored; a pair (image, labels) is accepted, too.

  Attributes:
    image: uint8 [height, width, channels], or the PNG of that, in bytes.
    labels: [num_attributes] in [0, 1]; NaN where it is not known.
    name: The name of its file, if it has one.
    fault: The reason to leave it out; "" keeps it.
  """

  image: np.ndarray | bytes | None
  labels: Sequence[float]
  name: str = ""
  fault: str = ""


@dataclasses.dataclass(frozen=True)
class Dataset:
  """How to build a data set and how to read one example of it.

  Attributes:
    image_shape: (height, width, channels) after `decode`.
    all_attributes: Names of the attributes, in the order of `decode`.
    trained: Names of those that models are trained on.
    exclusive: Groups of names that exclude each other.
    splits: Names of its splits.
    builder: data_dir -> tfds builder, prepared or not.
    decode: Example, with its image still encoded -> {"image": float32
      image_shape in [0, 1], "attributes": float32 [len(all_attributes)] in
      [0, 1], NaN where not known}; a data set with a split "balanced" adds
      "focus": int64, the index of the attribute for which the example was
      chosen.
    continuous: Names of attributes that are degrees in [0, 1]; all others are
      0 or 1.
    state: data_dir -> a digest that changes with the source files; None if they
      are gone, or if there are none.
    notes: Notes for users on how its labels were read.
    crop: How its pictures became images, see `images.box`; None if they are
      images.
  """

  image_shape: tuple[int, int, int]
  all_attributes: tuple[str, ...]
  trained: tuple[str, ...]
  exclusive: tuple[tuple[str, ...], ...]
  splits: tuple[str, ...]
  builder: Callable[[str], tfds.core.DatasetBuilder]
  decode: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]
  continuous: tuple[str, ...] = ()
  state: Callable[[str], str | None] = lambda data_dir: None
  notes: tuple[str, ...] = ()
  crop: str | None = None

  @property
  def attributes(self) -> attribute_sets.Attributes:
    """The attributes that models are trained on."""
    return attribute_sets.Attributes(
      self.trained, self.exclusive, self.continuous
    )

  @property
  def preprocessing(self) -> preprocessings.Preprocessing:
    """How a picture becomes one of its images."""
    crop = self.crop or images.CENTER
    return preprocessings.Preprocessing(self.image_shape, crop)


def from_examples(
  name: str,
  examples: Callable[[str, str], Iterable[Example | tuple]],
  *,
  image_shape: tuple[int, int, int],
  attributes: Sequence[str],
  exclusive: Sequence[Sequence[str]] = (),
  continuous: Sequence[str] = (),
  version: str = "1.0.0",
  trained: Sequence[str] | None = None,
  crop: str | None = None,
  state: Callable[[str], str | None] = lambda data_dir: None,
  notes: Sequence[str] = (),
) -> Dataset:
  """Returns a data set whose examples come from a Python function.

  They are written once, losslessly and in their order, into
  `<data_dir>/<name>/<version>`.

  Args:
    name: Name of the data set's folder.
    examples: (split, data_dir) -> `Example`s, or pairs of an image, uint8 of
      `image_shape`, and its labels, [num_attributes] in [0, 1].
    image_shape: (height, width, channels), with 1 or 3 channels.
    attributes: Names of the labels.
    exclusive: Groups of names that exclude each other.
    continuous: Names of attributes that are degrees in [0, 1]; all others are
      0 or 1.
    version: To be raised when the examples change.
    trained: The attributes that models are trained on; None is all.
    crop: How pictures became images, see `images.box`; None if they are images.
    state: See `Dataset`.
    notes: See `Dataset`.
  """
  image_shape, names = tuple(image_shape), tuple(attributes)
  dataset = Dataset(
    image_shape=image_shape,
    all_attributes=names,
    trained=names if trained is None else tuple(trained),
    exclusive=tuple(map(tuple, exclusive)),
    splits=SPLITS,
    builder=lambda data_dir: kind(data_dir=data_dir),
    decode=lambda example: decode(example, image_shape),
    continuous=tuple(continuous),
    crop=crop,
    state=state,
    notes=tuple(notes),
  )
  members = {
    "name": name,
    "VERSION": tfds.core.Version(version),
    "dataset": dataset,
    "examples": staticmethod(examples),
    "features": {
      "image": tfds.features.Image(shape=image_shape, encoding_format="png"),
      "attributes": tfds.features.Tensor(shape=(len(names),), dtype=np.float32),
      "name": tfds.features.Text(),
    },
  }
  # tfds reads name and version from the class.
  kind = type(name, (_Builder,), members, skip_registration=True)
  return dataset


def read_pictures(
  pictures: Iterable[tuple[str | bytes, Sequence[float], str]],
  preprocessing: preprocessings.Preprocessing,
) -> Iterator[Example]:
  """Reads pictures into examples on all cores, in order.

  Args:
    pictures: Tuples (path or bytes of a file, its labels, its name).
    preprocessing: How a picture becomes an image.
  """

  def read(picture):
    file, labels, name = picture
    file = io.BytesIO(file) if isinstance(file, bytes) else file
    try:
      image = images.read(
        file, preprocessing.image_shape, preprocessing.crop, name
      )
    except ValueError as error:
      return Example(None, labels, name, str(error).removeprefix(name).strip())
    return Example(png(image), labels, name)

  pictures, waiting = iter(pictures), None
  # Threads, since Pillow releases the GIL while it reads and writes pixels.
  with pools.ThreadPool(os.cpu_count()) as pool:
    while chunk := list(itertools.islice(pictures, _AT_ONCE)):
      coming = pool.map_async(read, chunk)
      yield from waiting.get() if waiting else ()
      waiting = coming
    yield from waiting.get() if waiting else ()


def read_about(builder: tfds.core.DatasetBuilder | str) -> dict | None:
  """Returns the description of a data set that `from_examples` has written.

  Args:
    builder: The data set's builder, or its folder.

  Returns:
    Fields of the `Dataset`, its "state" as a digest; and "left_out", the bad
    examples with their faults. None for other data sets.
  """
  folder = builder if isinstance(builder, str) else str(builder.data_dir)
  try:
    return files.read_json(os.path.join(folder, _ABOUT))
  except FileNotFoundError:
    return None


def decode(
  example: Mapping[str, tf.Tensor], image_shape: Sequence[int]
) -> dict[str, tf.Tensor]:
  """Decodes the PNG or JPEG and the labels of an example, see `Dataset`."""
  image = tf.io.decode_image(
    example["image"], channels=image_shape[-1], expand_animations=False
  )
  image = tf.cast(image, tf.float32) / 255.0
  return {
    "image": tf.ensure_shape(image, image_shape),
    "attributes": tf.cast(example["attributes"], tf.float32),
  }


def png(image: np.ndarray) -> bytes:
  """Returns an image, uint8 [height, width, channels], as PNG."""
  file = io.BytesIO()
  image = image[..., 0] if image.shape[-1] == 1 else image
  Image.fromarray(image).save(file, "PNG", compress_level=_PNG_LEVEL)
  return file.getvalue()


def manual_dir(data_dir: str) -> str:
  """Returns the folder in which files fetched by hand are expected."""
  return os.path.join(data_dir, "downloads", "manual")


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Writes the examples of `from_examples`."""

  VERSION = tfds.core.Version("0.0.0")

  def __init__(self, *, data_dir):
    self._root = data_dir
    super().__init__(data_dir=data_dir)

  @classmethod
  def get_metadata(cls):
    # tfds would look for files of tags and citations beside this one.
    return tfds.core.dataset_metadata.DatasetMetadata(
      description=cls.name, citation=None, tags=[]
    )

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(self.features),
      disable_shuffling=True,
    )

  def _download_and_prepare(self, dl_manager, download_config):
    about = dataclasses.asdict(self.dataset)
    del about["builder"], about["decode"]
    # Taken before reading, so that files that change meanwhile are read again.
    about["state"] = self.dataset.state(self._root)
    self._left_out = []
    super()._download_and_prepare(dl_manager, download_config)
    about["left_out"] = self._left_out
    # Written to tfds's temporary folder, which it renames when complete.
    files.write_json(os.path.join(str(self.data_dir), _ABOUT), about)

  def _split_generators(self, dl_manager):
    del dl_manager  # `examples` fetches what it needs.
    splits = self.dataset.splits
    return {split: self._generate_examples(split) for split in splits}

  def _generate_examples(self, split):
    row = 0
    for place, example in enumerate(self.examples(split, self._root)):
      image, labels, name, fault = Example(*example)
      labels = np.asarray(labels, np.float32)
      if not fault:
        fault = self._fault(image, labels)
      if fault:
        self._left_out.append(f"{name or f'{split}, row {place}'}: {fault}")
        continue
      image = image if isinstance(image, bytes) else png(image)
      yield (
        row,
        {"image": io.BytesIO(image), "attributes": labels, "name": name},
      )
      row += 1
    if not row:
      raise ValueError(
        f"The split {split} of {self.name} has no image that can be used. "
        + (
          f"The first that cannot: {self._left_out[0]}"
          if self._left_out
          else "Give more images, or other splits."
        )
      )

  def _fault(self, image, labels):
    """Returns the fault of an example, or None."""
    shape = self.dataset.image_shape
    if not isinstance(image, bytes):
      if image.dtype != np.uint8 or image.shape != shape:
        return f"its image is {image.dtype} {image.shape}, not uint8 {shape}"
    names = self.dataset.all_attributes
    if labels.shape != (len(names),):
      return f"it has {labels.size} labels instead of {len(names)}"
    known = ~np.isnan(labels)
    wrong = known & ~((labels >= 0.0) & (labels <= 1.0))
    part = np.flatnonzero(known & (labels != np.rint(labels)))
    wrong[[k for k in part if names[k] not in self.dataset.continuous]] = True
    if wrong.any():
      column = int(np.flatnonzero(wrong)[0])
      return f"its {names[column]} is {labels[column]:g}"
    return None
