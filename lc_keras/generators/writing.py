"""Writes a generator into a folder, where `generator.load` finds it."""

import os

import tensorflow as tf

from lc_keras import files
from lc_keras.generators import generator as generators
from lc_keras.generators import specs
from lc_keras.models import storage

_SAVED = "model"


def write(generator: generators.Generator, folder: str) -> None:
  """Writes a generator where `load` finds it.

  A model of our own is written as its trainer does, any other as a SavedModel.
  Of what runs outside of TensorFlow is only noted which images it makes.

  Args:
    generator: The generator.
    folder: A run folder.
  """
  own = getattr(generator, "model", generator)
  for stage, name in (("vae", "VAE"), ("gan", "GAN")):
    if type(own).__name__ == name:
      storage.save(own, os.path.join(folder, stage))
      return
  place = os.path.join(folder, generators.IMPORTED)
  os.makedirs(place, exist_ok=True)
  if generator.exportable:
    spec = _save(generator, place)
  else:
    spec = specs.given(generator, generators.can_encode(generator))
  files.write_json(os.path.join(place, specs.SPEC), spec)


def _save(generator, folder):
  """Writes a SavedModel that takes and gives what we do; returns its spec."""
  module = tf.Module()
  functions = {
    "decode": (
      lambda latents: {"images": generator.decode(latents).mean()},
      tf.TensorSpec([None, generator.latent_size], tf.float32, "latents"),
    )
  }
  if generators.can_encode(generator):

    def encode(images):
      posterior = generator.encode(images)
      return {"mean": posterior.mean(), "scale": posterior.stddev()}

    shape = [None, *generator.image_shape]
    functions["encode"] = encode, tf.TensorSpec(shape, tf.float32, "images")
  signatures = {
    name: tf.function(function, autograph=False).get_concrete_function(
      signature
    )
    for name, (function, signature) in functions.items()
  }
  module.held = [one.variables for one in signatures.values()]
  # What belongs to a SavedModel, such as tables, is written with it.
  module.model = [one for one in generator.model if hasattr(one, "signatures")]
  with files.replacing(os.path.join(folder, _SAVED)) as aside:
    tf.saved_model.save(module, aside, signatures)
  drafted = specs.draft(
    *({"kind": "saved_model", "path": "", "signature": n} for n in signatures),
    pixel_range=(0.0, 1.0),
  )
  for name in signatures:
    drafted[name]["path"] = _SAVED
  return generators.Generator.of_files(drafted, folder).spec
