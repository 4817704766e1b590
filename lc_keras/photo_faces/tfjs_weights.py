"""Reads weights in the format of TensorFlow.js: a manifest, and a blob."""

import math
import os

import numpy as np
import tensorflow as tf

from lc_keras import files


def read(folder: str, name: str) -> dict[str, tf.Tensor]:
  """Returns the weights of a network by name, float32.

  Args:
    folder: Folder of the files.
    name: Their name up to "_model", such as "age_gender".

  Raises:
    ValueError: The manifest and the blob do not belong together.
  """
  manifest = os.path.join(folder, f"{name}_model-weights_manifest.json")
  with open(os.path.join(folder, f"{name}_model.bin"), "rb") as file:
    blob = file.read()
  offset, weights = 0, {}
  for weight in (
    w for group in files.read_json(manifest) for w in group["weights"]
  ):
    coded = weight.get("quantization")
    kind = np.dtype(coded["dtype"] if coded else weight["dtype"])
    count = math.prod(weight["shape"])
    values = np.frombuffer(blob, kind, count, offset).astype(np.float32)
    if coded:
      values = values * coded["scale"] + coded["min"]
    values = np.float32(values).reshape(weight["shape"])
    weights[weight["name"]] = tf.constant(values)
    offset += count * kind.itemsize
  if offset != len(blob):
    raise ValueError(
      f"{manifest} describes {offset} bytes, and the weights beside it have "
      f"{len(blob)}: install the package again."
    )
  return weights
