"""Writes a generator into a folder, where `generator.load` finds it."""

import os

import tensorflow as tf

from lc_keras import files
from lc_keras.generators import generator as generators
from lc_keras.generators import specs
from lc_keras.models import storage

_SAVED = "model"
_OURS = {"RefinedVAE": generators.REFINED, "VAE": "vae", "GAN": "gan"}


def write(generator: generators.Generator, folder: str) -> None:
  """Writes a generator where `load` finds it.

  A model of this library is written as its trainer does, any other as a
  SavedModel. One that runs outside of TensorFlow cannot be written: a few of
  its images are noted, by which `load` recognises it.

  Args:
    generator: The generator.
    folder: A run folder.
  """
  own = getattr(generator, "model", generator)
  stage = _OURS.get(type(own).__name__)
  if stage:
    storage.save(own, os.path.join(folder, stage))
    return
  place = os.path.join(folder, generators.IMPORTED)
  os.makedirs(place, exist_ok=True)
  if generator.exportable:
    spec = _save(generator, place)
  else:
    spec = specs.without_model(generator, generators.can_encode(generator))
  mapping = generator.mapping
  specs.write(spec, place, mapping and mapping.coordinates)


def _save(generator, folder):
  """Writes a SavedModel that makes our images; returns its spec.

  It takes our latents or, with a mapping, the model's own.
  """
  module = tf.Module()
  mapping = generator.mapping
  decode, size = generator.decode, generator.latent_size
  if mapping is not None:
    decode, size = generator.decode_own, len(mapping.coordinates.mean)
  functions = {
    "decode": (
      lambda latents: {"images": decode(latents).mean()},
      tf.TensorSpec([None, size], tf.float32, "latents"),
    )
  }
  if mapping is not None:
    functions["map"] = (
      lambda noise: {"latents": mapping.own(noise)},
      tf.TensorSpec([None, mapping.noise_size], tf.float32, "noise"),
    )
  if generators.can_encode(generator):

    def encode(images):
      posterior = generator.encode(images)
      mean = posterior.mean()
      if mapping is not None:
        return {"mean": mapping.coordinates.to_own(mean)}
      return {"mean": mean, "scale": posterior.stddev()}

    shape = [None, *generator.image_shape]
    functions["encode"] = encode, tf.TensorSpec(shape, tf.float32, "images")
  signatures = {
    name: tf.function(function, autograph=False).get_concrete_function(
      signature
    )
    for name, (function, signature) in functions.items()
  }
  module.held = [one.variables for one in signatures.values()]
  # Resources of a wrapped SavedModel, such as tables, are written with it.
  module.model = [one for one in generator.model if hasattr(one, "signatures")]
  with files.replacing(os.path.join(folder, _SAVED)) as aside:
    tf.saved_model.save(module, aside, signatures)
  places = {
    name: {"kind": "saved_model", "path": _SAVED, "signature": name}
    for name in signatures
  }
  drafted = specs.draft(
    places["decode"],
    places.get("encode"),
    places.get("map"),
    pixel_range=(0.0, 1.0) if generator.plot is None else None,
    posterior_scale=generator.spec["posterior_scale"],
    truncation=mapping.truncation if mapping else 1.0,
    plot=specs.plot_of(generator.plot),
  )
  coordinates = mapping and mapping.coordinates
  return generators.Generator.of_files(drafted, folder, coordinates).spec
