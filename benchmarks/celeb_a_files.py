"""Pictures in CelebA's format, to read as one reads CelebA, without CelebA."""

import hashlib
import io
import os
import zipfile
from unittest import mock

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download import checksums

from lc_keras.data import celeb_a
from lc_keras.data import pipeline

_LANDMARKS = (
  "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x "
  "leftmouth_y rightmouth_x rightmouth_y"
)
# With this noise a JPEG has the 7 kB that CelebA's have on average.
_NOISE, _QUALITY = 6.0, 85


def prepare(data_dir: str, count: int) -> None:
  """Prepares a data set "celeb_a" of pictures that show nothing.

  Args:
    data_dir: Where; a real CelebA must not be there.
    count: Number of pictures, nearly all of them for training.
  """
  names = [f"{number + 1:06d}.jpg" for number in range(count)]
  random = np.random.default_rng(0)
  splits = [0] * (count - 2) + [1, 2]
  labels = np.where(random.random([count, 40]) < 0.5, "1", "-1")
  contents = {
    "img_align_celeba.zip": _archive(names, random),
    "list_eval_partition.txt": _table([], names, splits),
    "list_attr_celeba.txt": _table(
      [str(count), " ".join(celeb_a.ALL_ATTRIBUTES)],
      names,
      map(" ".join, labels),
    ),
    "list_landmarks_align_celeba.txt": _table(
      [str(count), _LANDMARKS],
      names,
      ["69 109 106 113 77 142 73 152 108 154"] * count,
    ),
    "identity_CelebA.txt": _table([], names, range(count)),
  }
  folder = celeb_a.manual_dir(data_dir)
  os.makedirs(folder)
  for name, content in contents.items():
    with open(os.path.join(folder, name), "wb") as file:
      file.write(content)
  # The builder knows the real files by size and checksum: tell it of these.
  builder = tfds.builder_cls("celeb_a")
  known = {
    url: checksums.UrlInfo(
      size=len(contents[info.filename]),
      checksum=hashlib.sha256(contents[info.filename]).hexdigest(),
      filename=info.filename,
    )
    for url, info in builder.url_infos.items()
  }
  with mock.patch.object(builder, "url_infos", known):
    pipeline.prepare("celeb_a", data_dir)


def _archive(names, random):
  y, x = np.mgrid[:218, :178]
  archive = io.BytesIO()
  with zipfile.ZipFile(archive, "w") as packed:
    for name in names:
      slopes = random.uniform(-1.0, 1.0, [2, 3])
      image = (
        128.0 + y[..., None] * slopes[0] / 2 + x[..., None] * slopes[1] / 2
      )
      image += random.normal(0.0, _NOISE, image.shape)
      jpeg = io.BytesIO()
      pixels = np.clip(image, 0, 255).astype(np.uint8)
      Image.fromarray(pixels).save(jpeg, "JPEG", quality=_QUALITY)
      packed.writestr(f"img_align_celeba/{name}", jpeg.getvalue())
  return archive.getvalue()


def _table(heading, names, rows):
  lines = [f"{name}  {row}" for name, row in zip(names, rows)]
  return "\n".join([*heading, *lines, ""]).encode()
