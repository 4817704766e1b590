"""Specs, the descriptions of generators in folders.

A spec has the places of the model's files or functions, and their properties
that `generator.Generator` needs. A model that is gone or has changed since is
refused: the models that were trained for it may not fit any more.
"""

import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence

import numpy as np

from lc_keras import files
from lc_keras import imports
from lc_keras import plotting
from lc_keras.generators import coordinates as coordinate_systems
from lc_keras.generators import kinds
from lc_keras.generators import part as parts

SPEC = "generator.json"
_COORDINATES = "coordinates.npz"
_FORMAT = 2
# Number of latents by whose images `is_the_same` compares generators.
_TRIED = 2
# Of an output that is not an image, so many to twice as many are compared.
_VALUES = 64


def draft(
  decode: Mapping,
  encode: Mapping | None = None,
  mapping: Mapping | None = None,
  *,
  prior: str = "normal",
  pixel_range: Sequence[float] | None = None,
  pixels: str = "values",
  posterior_scale: float = 0.1,
  latent_size: int | Sequence[int] | None = None,
  image_shape: Sequence[int] | None = None,
  fixed: Mapping | None = None,
  truncation: float = 1.0,
  plot: str | None = None,
) -> dict:
  """Returns the spec of a model in files before the model is run.

  All but these are as for `generator.Generator`; values of `fixed` may be files
  of arrays (.npy).

  Args:
    decode: The place of the decoder, see `kinds.place_of`: "kind", and "path"
      or "function". Optional are "signature" and "tags" of a SavedModel,
      "custom_objects" of a file of Keras, and "outputs", which maps "images"
      to the name of an output.
    encode: The same for an encoder, if there is one. "outputs" may map "mean",
      "scale" and "log_variance" to names.
    mapping: The same for a mapping, if there is one. "outputs" may map
      "latents" to a name.
  """
  return {
    "format": _FORMAT,
    "decode": dict(decode),
    "encode": None if encode is None else dict(encode),
    "map": None if mapping is None else dict(mapping),
    "prior": prior,
    "pixel_range": pixel_range,
    "pixels": pixels,
    "posterior_scale": posterior_scale,
    "latent_size": latent_size,
    "image_shape": image_shape,
    "fixed": dict(fixed or {}),
    "truncation": truncation,
    "plot": plot,
  }


def without_model(generator, encodes: bool) -> dict:
  """Returns the spec of a generator that cannot be saved.

  Args:
    generator: The generator, which users have to give again.
    encodes: Whether it can encode.
  """
  return {
    "format": _FORMAT,
    "decode": {},
    "encode": {} if encodes else None,
    **_looks(generator),
  }


def has_model(spec: Mapping) -> bool:
  """Says whether a spec names a model's files or functions.

  That of a generator that cannot be saved names none.
  """
  return bool(spec["decode"])


def is_the_same(spec: Mapping, generator) -> bool:
  """Says whether a generator is the one that could not be saved."""
  return all(spec[key] == value for key, value in _looks(generator).items())


def write(
  spec: Mapping,
  folder: str,
  coordinates: coordinate_systems.Coordinates | None = None,
) -> None:
  """Writes a spec, and beside it the coordinates of a mapping.

  Args:
    spec: The spec.
    folder: Folder of the generator.
    coordinates: Coordinates of the generator's latents.
  """
  if coordinates is not None:
    path = os.path.join(folder, _COORDINATES)
    coordinates.write(path)
    spec = {**spec, "coordinates": files.checksum(path)}
  # Written last, since by this file the folder has a generator.
  files.write_json(os.path.join(folder, SPEC), spec)


def read_coordinates(
  spec: Mapping, folder: str
) -> coordinate_systems.Coordinates | None:
  """Returns the coordinates that were written with a spec; None without one.

  Raises:
    ValueError: The file is not the one that was written.
    FileNotFoundError: The file is gone.
  """
  if "coordinates" not in spec:
    return None
  path = os.path.join(folder, _COORDINATES)
  if not os.path.exists(path):
    raise FileNotFoundError(
      f"{path} is missing: it has the coordinates of the latents that the "
      "models of this folder were trained on. Put it back."
    )
  if files.checksum(path) != spec["coordinates"]:
    raise ValueError(
      f"{path} is not the file that was written with {SPEC}. Put that file "
      "back."
    )
  return coordinate_systems.Coordinates.read(path)


def plot_of(plot) -> str | None:
  """Returns the entry of a plot in a spec, see `generator.Generator`.

  A function that cannot be imported again is replaced by lines.
  """
  if plot is None or isinstance(plot, str):
    return plot
  plotting.plotter(plot)  # Raises if it draws nothing.
  address = imports.address_of(plot)
  try:
    if imports.function(address) is plot and plot.__module__ != "__main__":
      return address
  except ValueError:
    pass
  return plotting.LINES


def _looks(generator):
  """Returns JSON values of a few images, by which to recognise a generator."""
  random = np.random.default_rng(0)
  latents = random.normal(size=[_TRIED, generator.latent_size])
  pixels = generator.map(latents)
  if getattr(generator, "plot", None) is None:
    pixels = pixels.mean(axis=-1)
  else:
    # Scaled, since three decimals only suit values of about 1.
    pixels = pixels.reshape([_TRIED, -1])
    pixels = pixels[:, :: max(1, pixels.shape[1] // _VALUES)]
    pixels = pixels / (np.abs(pixels).max() or 1.0)
  return {
    "image_shape": list(generator.image_shape),
    "looks": np.round(pixels, 3).tolist(),
  }


def read(folder: str) -> dict:
  """Returns a spec, after checking that its model has not changed.

  Args:
    folder: Holds generator.json. Relative paths in it start here.

  Raises:
    FileNotFoundError: There is no spec, or the model is gone.
    ValueError: The spec is of another format, or the model has changed.
  """
  path = os.path.join(folder, SPEC)
  if not os.path.exists(path):
    raise FileNotFoundError(
      f"No imported generator in {folder!r}: {SPEC} is missing. Import one "
      "with `python -m trainers.import_generator` and the same --run_dir."
    )
  spec = files.read_json(path)
  if spec.get("format") != _FORMAT:
    raise ValueError(
      f"{path} has format {spec.get('format')}; this version reads {_FORMAT}. "
      "Import the generator again, into another --run_dir."
    )
  if has_model(spec) and checksum(spec, folder) != spec["checksum"]:
    places = [place.get("path") or place["function"] for place in _places(spec)]
    raise ValueError(
      f"The generator {' and '.join(dict.fromkeys(places))} has changed since "
      f"it was imported into {folder!r}: what was trained for it need not fit "
      "any more. Put back what was imported, or import the new one into "
      "another --run_dir."
    )
  return spec


def checksum(spec: Mapping, folder: str) -> str:
  """Returns a SHA-256 of all files of a model, wherever they lie.

  Args:
    spec: See `draft`.
    folder: Where relative paths start.

  Raises:
    FileNotFoundError: A file is gone.
  """
  of_file = functools.cache(files.checksum)
  total = hashlib.sha256()
  for direction in parts.OUTPUTS:
    if spec.get(direction):
      for name, path in kinds.files_of(spec[direction], folder):
        total.update(f"{direction}/{name} {of_file(path)}\n".encode())
  return total.hexdigest()


def fingerprint(folder: str) -> str:
  """Returns a SHA-256 of a spec and the model's files, wherever they lie.

  For a function, this is the file of its module, not what that imports or
  reads. Raises what `read` does.

  Args:
    folder: Holds generator.json.
  """
  spec = read(folder)
  for place in _places(spec):
    place.pop("path", None)
  text = json.dumps(spec, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _places(spec):
  """Returns the place of each direction that the model has."""
  return [spec[name] for name in parts.OUTPUTS if spec.get(name)]
