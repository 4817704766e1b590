"""The faces to choose from: of a data set, of a folder, or uploaded."""

import base64
import binascii
import glob
import io
import os
from collections.abc import Sequence

import numpy as np

from lc_keras import preset
from lc_keras.data import images
from lc_keras.data import preprocessing as preprocessings
from serving.studio import drawing
from serving.studio import state as state_lib

# Characters of a link that a server accepts: uvicorn's limit is 64 KB.
_LONGEST_LINK = 24_000
# Lossless (None) first; the first result that is short enough is used.
_QUALITIES = (None, 95, 85, 70, 50, 30, 10)


class Faces:
  """Pictures by the names in `State.face`."""

  def __init__(self, paths: Sequence[str] = (), arrays: np.ndarray = ()):
    """Creates the collection.

    Args:
      paths: Picture files of any size, read when they are needed.
      arrays: [n, height, width, channels] in [0, 1], numbered after the files.
    """
    self._pictures = [*paths, *arrays]

  def __len__(self):
    return len(self._pictures)

  def picture(
    self, face: str, preprocessing: preprocessings.Preprocessing
  ) -> np.ndarray | None:
    """Returns [height, width, channels] in [0, 1]; None for the prior.

    Args:
      face: See `State.face`.
      preprocessing: Crops and resizes a picture to an image of the model.

    Raises:
      ValueError: There is no such face.
    """
    kind, _, rest = face.partition(":")
    if kind == state_lib.PRIOR:
      return None
    if kind == state_lib.UPLOAD:
      try:
        data = base64.urlsafe_b64decode(rest)
      except (binascii.Error, ValueError):
        data = b""
      return preprocessing.load(io.BytesIO(data), "The link's picture")
    if int(rest) >= len(self._pictures):
      raise ValueError(
        f"There is no face {rest}: this studio has {len(self._pictures)} "
        "pictures, counted from 0. Choose another face."
      )
    found = self._pictures[int(rest)]
    if isinstance(found, str):
      return preprocessing.load(found)
    shape = preprocessing.image_shape
    if found.shape != shape:
      raise ValueError(
        f"The pictures of this studio are {found.shape}, and the model takes "
        f"{shape}. Start it with the model's own --run_dir, or --faces."
      )
    return found

  def take(
    self,
    data: bytes,
    name: str,
    preprocessing: preprocessings.Preprocessing,
  ) -> str:
    """Returns the name of an uploaded picture, for `State.face`.

    The name contains the picture, preprocessed for the model: a link to it
    works for all users, and the studio stores nothing.

    Args:
      data: A file of any size and format that Pillow reads.
      name: The name of the file.
      preprocessing: Crops and resizes a picture to an image of the model.

    Raises:
      ValueError: The file is not a picture.
    """
    pixels = preprocessing.load(io.BytesIO(data), name)
    image = drawing.image(pixels)
    for quality in _QUALITIES:
      file = io.BytesIO()
      lossless = quality is None
      image.save(file, "WEBP", lossless=lossless, quality=quality or 100)
      text = base64.urlsafe_b64encode(file.getvalue()).decode()
      if len(text) <= _LONGEST_LINK:
        return f"{state_lib.UPLOAD}:{text}"
    raise ValueError(
      f"{name} is too detailed for a link at {image.width} by {image.height} "
      "pixels."
    )


def find(
  folder: str | None, run_dir: str | None, data_dir: str, count: int
) -> Faces:
  """Returns faces of a folder, or held-out ones of a run's data set.

  Args:
    folder: A folder with picture files; None for the data set.
    run_dir: The run with the data set, or a preset, which contains pictures.
      Without a run, or without its data set, there are no faces.
    data_dir: Folder of prepared data sets.
    count: Most faces to return.

  Raises:
    ValueError: The folder has no pictures.
  """
  if folder:
    known = images.endings()
    paths = [
      path
      for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*")))
      if os.path.splitext(path)[1].lower() in known
    ]
    if not paths:
      raise ValueError(
        f"--faces={folder} has no picture files: name a folder with PNG, JPEG "
        "or other pictures."
      )
    return Faces(paths[:count])
  if not run_dir:
    return Faces()
  if kept := preset.held_out(run_dir):
    return Faces(kept[:count])
  # Imported here: TensorFlow Datasets takes seconds to load.
  from lc_keras import run_folder
  from lc_keras.data import pipeline

  try:
    name = run_folder.read_about(run_dir)["dataset"]
    if name is None:
      return Faces()
    batches = pipeline.load(name, "test", count, data_dir=data_dir, limit=count)
    return Faces(arrays=next(iter(batches))["image"].numpy())
  except (FileNotFoundError, ValueError) as error:
    print(f"No faces of the data set: {error}", flush=True)
    return Faces()
