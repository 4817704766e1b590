"""A page that shows a server's models: states, signatures, a sample picture.

Types and shapes are the SavedModel's. An export of lc_keras adds a text about
each signature, from its manifest, and the results of `describe` and `sample`.
"""

import base64
import collections
import json
import os
import threading
import weakref

import jinja2
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2

from serving.server import errors
from serving.server import interrupts
from serving.server import manager
from serving.server import model_states

_MANIFEST = os.path.join("assets.extra", "manifest.json")
_PNG = b"\x89PNG"
_LONGEST_SAMPLE = 10.0  # Seconds.


class IndexPage:
  """Writes the page."""

  def __init__(self, models: manager.Manager):
    self._models = models
    environment = jinja2.Environment(
      loader=jinja2.PackageLoader("serving.server"),
      autoescape=True,
      trim_blocks=True,
      lstrip_blocks=True,
    )
    self._template = environment.get_template("index.html.j2")
    # Cached: a sample is slow, and always the same.
    self._samples = weakref.WeakKeyDictionary()
    self._sampling = threading.Lock()

  def html(self) -> str:
    """Returns the page."""
    names = sorted(self._models.available())
    return self._template.render(models=[self._model(name) for name in names])

  def _model(self, name):
    spec = model_pb2.ModelSpec(name=name)
    shown = {"name": name, "versions": {}}
    labels = collections.defaultdict(list)
    for label, number in sorted(self._models.labels().get(name, {}).items()):
      labels[number].append(label)
    try:
      for number, version in self._models.states(spec).items():
        shown["versions"][number] = {
          "state": model_states.State.Name(version.state),
          "error": version.error.text if version.error else "",
          "labels": labels[number],
        }
      with self._models.use(spec) as servable:
        shown["signatures"] = _signatures(servable)
        shown["attributes"], shown["sample"] = self._sample(servable)
    except errors.ServingError:
      pass  # No version is available; the states are shown.
    return shown

  def _sample(self, servable):
    """Returns the names of the attributes, and a picture in base 64."""
    with self._sampling:
      if servable not in self._samples:
        # A slower model is shown without a picture.
        interrupt = interrupts.Interrupt()
        timer = threading.Timer(_LONGEST_SAMPLE, interrupt.set)
        timer.start()
        self._samples[servable] = (
          _attributes(servable, interrupt),
          _picture(servable, interrupt),
        )
        timer.cancel()
      return self._samples[servable]


def _signatures(servable):
  texts = _texts(servable.path)
  return {
    name: {
      "text": texts.get(name, ""),
      "tensors": [
        (
          direction,
          key,
          tf.as_dtype(info.dtype).name,
          tf.TensorShape(info.tensor_shape),
        )
        for direction, infos in (
          ("in", signature.inputs),
          ("out", signature.outputs),
        )
        for key, info in sorted(infos.items())
      ],
    }
    for name, signature in sorted(servable.signatures.items())
    if not name.startswith("__")  # TensorFlow's own.
  }


def _texts(folder):
  """Returns the manifest's texts about signatures; {} for other models."""
  try:
    with open(os.path.join(folder, _MANIFEST), encoding="utf-8") as file:
      return dict(json.load(file)["signatures"])
  except (OSError, ValueError, KeyError, TypeError):
    return {}


def _ask(servable, name, inputs, interrupt):
  """Returns the outputs of a signature; {} if it fails."""
  try:
    return servable.predict(name, inputs, (), interrupt)
  except errors.ServingError:
    return {}


def _attributes(servable, interrupt):
  row = {"row": np.zeros(1, np.int64)}
  described = _ask(servable, "describe", row, interrupt)
  names = np.ravel(described.get("attribute_names", []))
  return [str(name, "utf-8", "replace") for name in names.tolist()]


def _picture(servable, interrupt):
  signature = servable.signatures.get("sample")
  if signature is None or "attributes" not in signature.inputs:
    return None
  shape = tf.TensorShape(signature.inputs["attributes"].tensor_shape)
  if shape.rank != 2 or shape[1] is None:
    return None
  # A mask of zeros leaves all attributes open.
  zeros = np.zeros([1, shape[1]], np.float32)
  inputs = {"attributes": zeros, "mask": zeros, "seed": np.zeros(1, np.int64)}
  sample = _ask(servable, "sample", inputs, interrupt)
  picture = next(iter(np.ravel(sample.get("image_bytes", []))), b"")
  if not isinstance(picture, bytes) or not picture.startswith(_PNG):
    return None
  return base64.b64encode(picture).decode()
