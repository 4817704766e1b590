"""Specs: how a folder notes which model its generator is.

A spec says where the model's files or functions are, and all that
`generator.Generator` has to know of them. A model that has gone or changed
since is refused: what was trained for it need not fit any more.
"""

import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence

from lc_keras import files
from lc_keras.generators import kinds
from lc_keras.generators import part as parts

SPEC = "generator.json"
# The kind of a model that cannot be saved, and has to be given again.
GIVEN = "given"
_FORMAT = 1


def draft(
  kind: str,
  decode: Mapping,
  encode: Mapping | None = None,
  *,
  prior: str = "normal",
  pixel_range: Sequence[float] = (0.0, 1.0),
  posterior_scale: float = 0.1,
  latent_size: int | None = None,
) -> dict:
  """Returns what has to be said of a model in files before it is looked at.

  Args:
    kind: One of `kinds.KINDS`.
    decode: Where the decoder is. Of a SavedModel, "path" and, where it has
      several, the names "signature" and "input"; of a `.keras` file, "path";
      of a callable, "function", as "module:function". "outputs" may map
      "images" to the name of an output.
    encode: The same for an encoder, if there is one. "outputs" may map "mean",
      "scale" and "log_variance" to names.
    prior: See `generator.Generator`, as the following.
    pixel_range: The model's values for black and white.
    posterior_scale: Standard deviation, for an encoder that gives none.
    latent_size: Size of a latent vector, if the model does not say.
  """

  def found(place):
    if "path" not in place:
      return dict(place)
    path = os.path.abspath(os.path.expanduser(place["path"]))
    return {**place, "path": path}

  return {
    "format": _FORMAT,
    "kind": kind,
    "decode": found(decode),
    "encode": None if encode is None else found(encode),
    "prior": prior,
    "pixel_range": list(pixel_range),
    "posterior_scale": posterior_scale,
    "latent_size": latent_size,
  }


def read(folder: str) -> dict:
  """Returns a spec, after checking that the model is that.

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
  with open(path, encoding="utf-8") as file:
    spec = json.load(file)
  if spec.get("format") != _FORMAT:
    raise ValueError(
      f"{path} has format {spec.get('format')}; this version reads {_FORMAT}. "
      "Import the generator again, into another --run_dir."
    )
  if spec["kind"] != GIVEN and checksum(spec, folder) != spec["checksum"]:
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
    FileNotFoundError: Some are gone.
  """
  of_file = functools.cache(files.checksum)
  total = hashlib.sha256()
  for name, path in kinds.files_of(spec, folder):
    total.update(f"{name} {of_file(path)}\n".encode())
  return total.hexdigest()


def fingerprint(folder: str) -> str:
  """Returns a SHA-256 of a spec and the model's files, wherever they lie.

  Of a callable, its module's file counts, and not what that imports or reads.
  Raises what `read` does.

  Args:
    folder: Holds generator.json.
  """
  spec = read(folder)
  for place in _places(spec):
    place.pop("path", None)
  text = json.dumps(spec, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _places(spec):
  """Returns what a spec says of each direction that the model has."""
  return [spec[name] for name in parts.OUTPUTS if spec[name]]
