"""Takes in a model that another program wrote: checks it, notes what it is.

What is noted is a spec, in JSON: `draft` says what it holds, `complete` looks
at the model, runs it and fills in what was left out, and `load` makes a
generator of it. A model that has gone or changed since is refused: what was
trained for it need not fit any more.
"""

import functools
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from lc_keras import files
from lc_keras.generators import adapter
from lc_keras.generators import foreign
from lc_keras.generators import probing

SPEC = "generator.json"
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
  """Returns what has to be said of a model before it is looked at.

  Args:
    kind: "saved_model", "keras" or "callable".
    decode: Where the decoder is. Of a SavedModel, "path" and, where it has
      several, the names "signature" and "input"; of a `.keras` file, "path";
      of a callable, "function", as "module:function". "outputs" may map
      "images" to the name of an output.
    encode: The same for an encoder, if there is one. "outputs" may map "mean",
      "scale" and "log_variance" to names. A callable returns the mean, or the
      mean and the scale.
    prior: One of `adapter.PRIORS`.
    pixel_range: The model's values for black and white.
    posterior_scale: See `Adapter`.
    latent_size: Size of a latent vector, if the model does not say.
  """
  return {
    "format": _FORMAT,
    "kind": kind,
    "decode": dict(decode),
    "encode": encode and dict(encode),
    "prior": prior,
    "pixel_range": list(pixel_range),
    "posterior_scale": posterior_scale,
    "latent_size": latent_size,
  }


def complete(drafted: Mapping) -> tuple[dict, list[str]]:
  """Looks at a model, runs it, and says all that `load` needs to know.

  Args:
    drafted: What `draft` returned.

  Returns:
    The spec, its paths absolute, and sentences about the model.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: It is no model of this kind, or not the one that the spec says;
      the message lists what was found.
  """
  spec = {**drafted}
  for name in foreign.OUTPUTS:
    if spec[name] and "path" in spec[name]:
      path = os.path.abspath(os.path.expanduser(spec[name]["path"]))
      spec[name] = {**spec[name], "path": path}
  opened = foreign.open_parts(spec, "")
  shape = probing.latent_shape(opened["decode"].shape, spec.pop("latent_size"))
  spec["latent_shape"] = shape
  latents = probing.latents(shape, spec["prior"])
  pixels = _probe(spec, opened, "decode", latents)["images"]
  few = _probe(spec, opened, "decode", latents[: probing.FEW])["images"]
  spec["layout"], spec["image_shape"] = probing.layout(pixels.shape)
  notes = probing.check_pixels(pixels, few, spec["pixel_range"])
  if spec["encode"]:
    codes = _probe(spec, opened, "encode", few)
    probing.check_codes(codes, math.prod(shape))
  probing.check_traced(_adapter(spec, opened))
  spec["checksum"] = _checksum(spec, "")
  return spec, notes


def read_spec(folder: str) -> dict:
  """Returns the spec of an imported model, after checking that it is that.

  Args:
    folder: Holds generator.json. Relative paths in it begin here.

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
  if _checksum(spec, folder) != spec["checksum"]:
    places = [part.get("path") or part["function"] for part in _parts(spec)]
    raise ValueError(
      f"The generator {' and '.join(dict.fromkeys(places))} has changed since "
      f"it was imported into {folder!r}: what was trained for it need not fit "
      "any more. Put back what was imported, or import the new one into "
      "another --run_dir."
    )
  return spec


def load(folder: str) -> adapter.Adapter:
  """Opens an imported model; raises what `read_spec` does.

  Args:
    folder: Holds generator.json.
  """
  return build(read_spec(folder), folder)


def build(spec: Mapping, folder: str = "") -> adapter.Adapter:
  """Opens the model of a complete spec.

  Args:
    spec: What `complete` returned.
    folder: Where relative paths begin.
  """
  return _adapter(spec, foreign.open_parts(spec, folder))


def fingerprint(folder: str) -> str:
  """Returns a SHA-256 of a spec and the model's files, wherever they lie.

  Of a callable, its module's file counts, and not what that imports or reads.
  Raises what `read_spec` does.

  Args:
    folder: Holds generator.json.
  """
  spec = read_spec(folder)
  for part in _parts(spec):
    part.pop("path", None)
  text = json.dumps(spec, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _parts(spec):
  """Returns what a spec says of each direction that the model has."""
  return [spec[name] for name in foreign.OUTPUTS if spec[name]]


def _probe(spec, opened, direction, rows):
  """Runs a direction; notes in the spec what was found out about it."""
  part, known = opened[direction], spec[direction]
  found, names, is_numpy = probing.run(
    part, rows, direction, known.get("outputs", {})
  )
  chosen = {"outputs": names, "numpy": is_numpy}
  spec[direction] = {**known, **part.names, **chosen}
  return found


def _adapter(spec, opened):
  """Returns a generator made of opened parts."""
  bound = {name: _bind(part.run, spec[name]) for name, part in opened.items()}
  return adapter.Adapter(
    lambda latents: bound["decode"](latents)["images"],
    image_shape=spec["image_shape"],
    latent_shape=spec["latent_shape"],
    layout=spec["layout"],
    prior=spec["prior"],
    pixel_range=spec["pixel_range"],
    encode=bound.get("encode"),
    posterior_scale=spec["posterior_scale"],
    exportable=not any(part["numpy"] for part in _parts(spec)),
    resource=[part.resource for part in opened.values()],
  )


def _bind(run, part):
  """Returns a function of tensors that gives the outputs by our names."""
  outputs = part["outputs"]

  def named(rows):
    found = run(rows)
    return {ours: found[theirs] for ours, theirs in outputs.items()}

  def arrays(rows):
    return [np.asarray(value, np.float32) for value in named(rows).values()]

  def called(rows):
    types = [tf.float32] * len(outputs)
    values = tf.numpy_function(arrays, [rows], types)
    # Outside of a graph, a single one comes bare.
    return dict(zip(outputs, tf.nest.flatten(values)))

  return called if part["numpy"] else named


def _checksum(spec, folder):
  """Returns a SHA-256 of all files of a model, wherever they lie."""
  checksum = functools.cache(files.checksum)
  total = hashlib.sha256()
  for direction in foreign.OUTPUTS:
    if part := spec[direction]:
      for name, path in foreign.files_of(part, folder):
        total.update(f"{direction}/{name} {checksum(path)}\n".encode())
  return total.hexdigest()
