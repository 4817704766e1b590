"""Fashion-MNIST for the input pipeline, its ten classes as ten attributes.

The four files are read from `<data_dir>/downloads/manual`, or where Debian's
package dataset-fashion-mnist puts them, or are downloaded. Debian repacks them,
so they are judged by what is in them and not by tfds's checksums.
"""

import gzip
import os

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from lc_keras.data import source

CLASSES = (
  "T-shirt",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle_boot",
)
IMAGE_SHAPE = (28, 28, 1)

DEBIAN = "/usr/share/datasets/fashion-mnist"
_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_FILES = {
  "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
  "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
_URLS = {
  split: tuple(_URL + name for name in names) for split, names in _FILES.items()
}
_UNSIGNED_BYTE = 8  # the idx format's code for it


def load():
  """The source."""
  return source.Source(
    image_shape=IMAGE_SHAPE,
    stored_shape=IMAGE_SHAPE,
    all_attributes=CLASSES,
    attributes=CLASSES,
    exclusive=(CLASSES,),
    splits=("train", "validation", "test"),
    builder=lambda data_dir: FashionMnistFiles(data_dir=data_dir),
    prepare=_prepare,
    decode=_decode,
  )


class FashionMnistFiles(tfds.core.GeneratorBasedBuilder):
  """Fashion-MNIST from its four files, however they were compressed.

  The last twelfth of the training images, 5,000, is for validation.
  """

  VERSION = tfds.core.Version("1.0.0")

  def __init__(self, *, data_dir):
    self._folders = (manual_dir(data_dir), DEBIAN)
    super().__init__(data_dir=data_dir)

  @classmethod
  def get_metadata(cls):
    """No files of tags and citations beside the builder."""
    return tfds.core.dataset_metadata.DatasetMetadata(
      description="Photographs of clothes in ten classes.",
      citation=None,
      tags=[],
    )

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=IMAGE_SHAPE),
          "label": tfds.features.ClassLabel(names=CLASSES),
        }
      ),
      # The files are mixed already.
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    files = _find_files(self._folders) or self._download(dl_manager)
    return {
      "train": self._generate_examples(*files["train"], _before_last_twelfth),
      "validation": self._generate_examples(*files["train"], _last_twelfth),
      "test": self._generate_examples(*files["test"], _all),
    }

  def _download(self, dl_manager):
    try:
      return dl_manager.download(_URLS)
    except (OSError, tfds.download.DownloadError) as error:
      names = ", ".join(name for names in _FILES.values() for name in names)
      raise FileNotFoundError(
        f"Fashion-MNIST is in neither of {', '.join(self._folders)}, and could "
        f"not be downloaded ({error}). Install Debian's package "
        f"dataset-fashion-mnist, or put {names} into the first of these."
      ) from error

  def _generate_examples(self, images_path, labels_path, rows):
    images = read_idx(images_path, 3)[..., np.newaxis]
    labels = read_idx(labels_path, 1)
    if images.shape != (len(labels), *IMAGE_SHAPE):
      raise ValueError(
        f"{images_path} holds images of shape {images.shape} for {len(labels)} "
        f"labels in {labels_path}: expected {(len(labels), *IMAGE_SHAPE)}."
      )
    for row in rows(len(labels)):
      yield row, {"image": images[row], "label": labels[row]}


def _all(count):
  return range(count)


def _last_twelfth(count):
  return range(count - count // 12, count)


def _before_last_twelfth(count):
  return range(count - count // 12)


def read_idx(path, rank):
  """Reads a gzipped idx file of bytes.

  Args:
    path: the file.
    rank: int, number of dimensions it must have.

  Returns:
    uint8 array of that rank.

  Raises:
    ValueError: The file is something else, or is cut short.
  """
  try:
    with gzip.open(path) as file:
      data = file.read()
  except (gzip.BadGzipFile, EOFError) as error:
    raise ValueError(f"{path} is not a whole gzip file: {error}") from error
  start = 4 * (1 + rank)
  if data[:4] != bytes([0, 0, _UNSIGNED_BYTE, rank]) or len(data) < start:
    raise ValueError(
      f"{path} is not an idx file of bytes in {rank} dimensions: it starts "
      f"with {data[:4].hex(' ')}."
    )
  shape = np.frombuffer(data, ">u4", rank, 4).astype(int)
  if len(data) - start != shape.prod():
    raise ValueError(
      f"{path} announces {shape.prod()} bytes, shape {tuple(shape)}, but "
      f"holds {len(data) - start}: fetch it again."
    )
  return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def manual_dir(data_dir):
  """The folder in which files fetched by hand are expected."""
  return os.path.join(data_dir, "downloads", "manual")


def _find_files(folders):
  """{split: (path of the images, path of the labels)}, or None."""
  for folder in folders:
    found = {
      split: tuple(os.path.join(folder, name) for name in names)
      for split, names in _FILES.items()
    }
    if all(os.path.exists(path) for paths in found.values() for path in paths):
      return found
  return None


def _prepare(builder, data_dir):
  del data_dir  # The builder knows where to look.
  builder.download_and_prepare()


def _decode(example):
  image = tf.io.decode_png(example["image"], channels=1)
  return {
    "image": tf.ensure_shape(tf.cast(image, tf.float32) / 255.0, IMAGE_SHAPE),
    "attributes": tf.one_hot(example["label"], len(CLASSES)),
  }
