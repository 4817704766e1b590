"""Finds decoder and encoder within an autoencoder that is one model."""

import keras

_PARTS = ("decoder", "encoder")
_METHODS = ("decode", "encode")


def split(model) -> tuple[str, str] | None:
  """Returns the names of a model's decoder and encoder; None without these.

  These are two models in it, attributes or layers; or two methods, or
  signatures of a SavedModel, "decode" and "encode". In PyTorch, methods are
  preferred to models, which are often only a part of what the methods run.

  Args:
    model: A model of any kind.
  """
  if hasattr(model, "signatures"):  # Of a SavedModel, its signatures.
    has_both = all(name in model.signatures for name in _METHODS)
    return _METHODS if has_both else None
  attributes = all(hasattr(model, name) for name in _PARTS)
  if attributes and _is_keras(model):
    return _PARTS
  if all(callable(getattr(model, name, None)) for name in _METHODS):
    return _METHODS
  if attributes:
    return _PARTS
  layers = [one for one in getattr(model, "layers", ()) if _is_model(one)]
  if len(layers) == 2 and _is_keras(model):
    # In the order of the graph: an encoder comes first.
    return layers[1].name, layers[0].name
  return None


def part(model, name: str):
  """Returns a part of a model, by a name that `split` gave."""
  if name in getattr(model, "signatures", ()):
    return model.signatures[name]
  if hasattr(model, name):
    return getattr(model, name)
  return model.get_layer(name)


def size(model) -> int | None:
  """Returns the latent size that a model has as an attribute, or None."""
  for name in ("latent_dim", "latent_size", "z_dim", "nz"):
    value = getattr(model, name, None)
    if isinstance(value, int):
      return value
  return None


def _is_model(layer):
  return hasattr(layer, "layers") and hasattr(layer, "inputs")


def _is_keras(model):
  # Of Keras 2, too, without importing it.
  return isinstance(model, keras.Layer) or any(
    cls.__module__.startswith("tf_keras") for cls in type(model).__mro__
  )
