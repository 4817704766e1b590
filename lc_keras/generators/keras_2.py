"""Generators that are Keras 2 models (tf_keras), or files of them."""

import sys
from collections.abc import Mapping

from lc_keras.generators import keras_model

wrap = keras_model.wrap


def accepts(model) -> bool:
  """Says whether a model is of this kind."""
  # A model of tf_keras exists only after an import of tf_keras.
  library = sys.modules.get("tf_keras")
  return library is not None and isinstance(model, library.layers.Layer)


def opens(path: str) -> bool:
  """Says whether a file is of this kind."""
  about = keras_model.described(path)
  return about is not None and about[0].startswith("2.")


def load(path: str, place: Mapping):
  """Opens a file, see `keras_model.load`."""
  import tf_keras  # The import takes a second, and few users need it.

  return keras_model.opened(path, place, tf_keras)
