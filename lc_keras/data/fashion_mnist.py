"""Fashion-MNIST for the input pipeline, its ten classes as ten attributes.

The four files are read from `<data_dir>/downloads/manual`, or where Debian's
package dataset-fashion-mnist puts them, or are downloaded. Debian repacks them,
so that tfds's checksums do not apply: their contents are checked instead.
"""

import gzip
import os

import numpy as np
import tensorflow_datasets as tfds

from lc_keras.data import stored

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
_UNSIGNED_BYTE = 8  # type code of the idx format


def load():
  """Returns the data set."""
  return stored.from_examples(
    "fashion_mnist_files",  # tfds has a `fashion_mnist` of its own.
    _examples,
    image_shape=IMAGE_SHAPE,
    attributes=CLASSES,
    exclusive=(CLASSES,),
    version="2.0.0",
  )


def _examples(split, data_dir):
  """Yields images and labels; the last twelfth of "train" is "validation"."""
  part = "test" if split == "test" else "train"
  images_path, labels_path = (_find_files(data_dir) or _download(data_dir))[
    part
  ]
  images = read_idx(images_path, 3)[..., np.newaxis]
  labels = read_idx(labels_path, 1)
  count = len(labels)
  if images.shape != (count, *IMAGE_SHAPE):
    raise ValueError(
      f"{images_path} holds images of shape {images.shape} for {count} "
      f"labels in {labels_path}: expected {(count, *IMAGE_SHAPE)}."
    )
  first = count - count // 12
  rows = {"train": slice(first), "validation": slice(first, None)}.get(
    split, slice(None)
  )
  return zip(images[rows], np.eye(len(CLASSES))[labels[rows]])


def read_idx(path, rank):
  """Reads a gzipped idx file of bytes.

  Args:
    path: the file.
    rank: int, number of dimensions it must have.

  Returns:
    uint8 array of that rank.

  Raises:
    ValueError: The file has another format, or is truncated.
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


def _folders(data_dir):
  return stored.manual_dir(data_dir), DEBIAN


def _find_files(data_dir):
  """Returns {split: (path of the images, path of the labels)}, or None."""
  for folder in _folders(data_dir):
    found = {
      split: tuple(os.path.join(folder, name) for name in names)
      for split, names in _FILES.items()
    }
    if all(os.path.exists(path) for paths in found.values() for path in paths):
      return found
  return None


def _download(data_dir):
  folder = os.path.join(data_dir, "downloads")
  manager = tfds.download.DownloadManager(download_dir=folder)
  try:
    return manager.download(
      {
        split: tuple(_URL + name for name in names)
        for split, names in _FILES.items()
      }
    )
  except (OSError, tfds.download.DownloadError) as error:
    names = ", ".join(name for names in _FILES.values() for name in names)
    raise FileNotFoundError(
      f"Fashion-MNIST is in neither of {', '.join(_folders(data_dir))}, and "
      f"could not be downloaded ({error}). Install Debian's package "
      f"dataset-fashion-mnist, or put {names} into the first of these."
    ) from error
