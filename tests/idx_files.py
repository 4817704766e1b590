"""Writes the idx format of MNIST, for tests on tiny files."""

import gzip

import numpy as np

_UNSIGNED_BYTE = 8


def write(path: str, array: np.ndarray) -> None:
  """Writes a gzipped idx file of bytes.

  Args:
    path: Path of the file.
    array: uint8, of any shape.
  """
  shape = np.array(array.shape, ">u4").tobytes()
  content = bytes([0, 0, _UNSIGNED_BYTE, array.ndim]) + shape + array.tobytes()
  with gzip.open(path, "wb") as file:
    file.write(content)
