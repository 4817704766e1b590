"""A page that says what a server has: models, signatures, a sample picture.

Types and shapes are those of the SavedModel. What a model of ours says besides
is in its manifest (what each input and output is, with its range) and in what
its `describe` and `sample` answer; of others, there is no more to say.
"""

import base64
import collections
import json
import os
import re
import threading

import jinja2
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2

from serving.server import errors
from serving.server import interrupts
from serving.server import manager as manager_lib
from serving.server import model_states
from serving.server import predictor

_MANIFEST = os.path.join("assets.extra", "manifest.json")
_PNG = b"\x89PNG"
_LONGEST_SAMPLE = 10.0  # Seconds.
_MOST_SAMPLES = 16
# A section of a docstring, and in it a name and what it is.
_SECTION = re.compile(r"^(Args|Returns|Raises):$")
_ENTRY = re.compile(r"^  (\w+): (.*)$")


class IndexPage:
  """Writes the page."""

  def __init__(self, manager: manager_lib.Manager):
    self._manager = manager
    environment = jinja2.Environment(
      loader=jinja2.PackageLoader("serving"),
      autoescape=True,
      trim_blocks=True,
      lstrip_blocks=True,
    )
    self._template = environment.get_template("index.html.j2")
    # A sample takes a while, and is always the same: the last few are kept.
    self._samples = collections.OrderedDict()
    self._sampling = threading.Lock()

  def html(self) -> str:
    """Returns the page."""
    labels = self._manager.labels()
    return self._template.render(
      models=[
        self._model(name, labels.get(name, {}))
        for name in sorted(self._manager.available())
      ]
    )

  def _model(self, name, labels):
    spec = model_pb2.ModelSpec(name=name)
    about = {"name": name, "versions": []}
    try:
      states = self._manager.states(spec)
    except errors.ServingError:
      states = {}
    for number, version in states.items():
      about["versions"].append(
        {
          "number": number,
          "state": model_states.State.Name(version.state),
          "error": version.error.text if version.error else "",
          "labels": sorted(key for key in labels if labels[key] == number),
        }
      )
    try:
      with self._manager.use(spec) as servable:
        about["signatures"] = _signatures(servable)
        about["attributes"], about["sample"] = self._sample(servable)
    except errors.ServingError:
      pass  # It is not there, or not any more: its state says so.
    return about

  def _sample(self, servable):
    """Returns the names of the attributes, and a picture in base 64."""
    key = servable.path, servable.version
    with self._sampling:
      if key not in self._samples:
        # Of a model that takes longer, there is none.
        interrupt = interrupts.Interrupt()
        timer = threading.Timer(_LONGEST_SAMPLE, interrupt.set)
        timer.start()
        self._samples[key] = (
          _attributes(servable, interrupt),
          _picture(servable, interrupt),
        )
        timer.cancel()
        while len(self._samples) > _MOST_SAMPLES:
          self._samples.popitem(last=False)
      return self._samples[key]


def _signatures(servable):
  docs = _docs(servable.path)
  listed = []
  for name, signature in sorted(servable.signatures.items()):
    if name.startswith("__"):  # What TensorFlow itself needs to be there.
      continue
    about, entries = _parse(docs.get(name, ""))
    tensors = [
      {
        "direction": direction,
        "name": key,
        "dtype": tf.as_dtype(info.dtype).name,
        "shape": _shape(info.tensor_shape),
        "about": _looked_up(entries, docs, section, key),
      }
      for direction, section, infos in (
        ("in", "Args", signature.inputs),
        ("out", "Returns", signature.outputs),
      )
      for key, info in sorted(infos.items())
    ]
    listed.append({"name": name, "about": about, "tensors": tensors})
  return listed


def _docs(folder):
  try:
    with open(os.path.join(folder, _MANIFEST), encoding="utf-8") as file:
      docs = json.load(file)["signatures"]
  except (OSError, ValueError, KeyError, TypeError):
    return {}
  if not isinstance(docs, dict):
    return {}
  return {name: text for name, text in docs.items() if isinstance(text, str)}


def _parse(text):
  """Returns the first line of a docstring, and what it says of each name."""
  entries = {"Args": {}, "Returns": {}, "Raises": {}}
  section, name = None, None
  for line in text.splitlines():
    if match := _SECTION.match(line.strip()):
      section, name = entries[match[1]], None
    elif section is not None and (match := _ENTRY.match(line)):
      name = match[1]
      section[name] = match[2]
    elif section is not None and name and line.startswith("    "):
      section[name] += " " + line.strip()
  return text.partition("\n")[0], entries


def _looked_up(entries, docs, section, name):
  """Returns what is said of a name, by `sample` where it is `As of sample.`"""
  said = entries[section].get(name, "")
  if not said or said.startswith("As of"):
    for other in ("sample", "transform"):
      found = _parse(docs.get(other, ""))[1][section].get(name)
      if found:
        return found
  return said


def _shape(shape):
  if shape.unknown_rank:
    return "?"
  sizes = ["?" if dim.size < 0 else str(dim.size) for dim in shape.dim]
  return "[" + ", ".join(sizes) + "]"


def _ask(servable, name, inputs, interrupt):
  """Returns what a signature answers; None if it has other inputs, or fails."""
  signature = servable.signatures.get(name)
  if signature is None or set(signature.inputs) != set(inputs):
    return None
  try:
    return predictor.predict(servable, signature, inputs, (), interrupt)
  except errors.ServingError:
    return None


def _attributes(servable, interrupt):
  facts = _ask(servable, "describe", {"row": np.zeros(1, np.int64)}, interrupt)
  names = np.ravel((facts or {}).get("attribute_names", []))
  return [str(name, "utf-8", "replace") for name in names.tolist()]


def _picture(servable, interrupt):
  signature = servable.signatures.get("sample")
  if signature is None or "attributes" not in signature.inputs:
    return None
  shape = signature.inputs["attributes"].tensor_shape
  if shape.unknown_rank or len(shape.dim) != 2 or shape.dim[1].size < 0:
    return None
  # What is left open comes as it comes.
  open_ = np.zeros([1, shape.dim[1].size], np.float32)
  inputs = {"attributes": open_, "mask": open_, "seed": np.zeros(1, np.int64)}
  made = _ask(servable, "sample", inputs, interrupt) or {}
  picture = next(iter(np.ravel(made.get("image_bytes", []))), b"")
  if not isinstance(picture, bytes) or not picture.startswith(_PNG):
    return None
  return base64.b64encode(picture).decode()
