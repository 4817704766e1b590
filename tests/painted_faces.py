"""A SavedModel that paints requests, with the signatures of an export.

A face is rows of grey: one per attribute, light if the attribute is on, and the
rest of the picture is the identity. Tests can read the request from a picture,
and no model need be trained or traced.
"""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

NAMES = ("Hat", "Glasses", "Beard", "Bright_Mouth")
_K = len(NAMES)
_IMAGE_SHAPE = (12, 8, 3)
_SIZE = _K + 1  # The last dimension is the identity.
_FAR = 2.0  # From this value up, an attribute is on.
# `slow` takes this much longer for each unit of weight above one.
SECONDS = 30.0


def write(folder: str, encodes: bool = True) -> None:
  """Writes the model; without an encoder, no signature takes images."""
  module = tf.Module()
  module.ticks = tf.Variable(0, dtype=tf.int64)

  def drawn(start, latents, seed):
    return {
      **decode(latents),
      **score(latents, None, None),
      "latents": latents,
      "converged": tf.reduce_all(tf.abs(latents) < 10.0, axis=-1),
      "steps": tf.ones_like(seed, tf.int32),
      "distance": tf.reduce_sum(tf.abs(latents - start), -1),
      "seed": tf.identity(seed),
    }

  def prior(seed):
    """Alternates: even seeds have dark faces, odd ones light."""
    light = tf.cast(seed % 2, tf.float32)[:, tf.newaxis]
    off = -_FAR * tf.ones([tf.shape(seed)[0], _K])
    return tf.concat([off, light - 0.5], axis=1)

  def moved(start, attributes, mask, by):
    wanted = by * _FAR * (2.0 * attributes - 1.0)
    asked = tf.where(mask > 0.0, wanted, start[:, :_K])
    return tf.concat([asked, start[:, _K:]], axis=1)

  def sample(attributes, mask, seed):
    start = prior(seed)
    return drawn(start, moved(start, attributes, mask, 1.0), seed)

  def best_of_n(attributes, mask, seed, realism_weight):
    del realism_weight
    return sample(attributes, mask, seed)

  def posterior(images):
    rows = tf.reduce_mean(images, axis=[2, 3])
    rows = tf.clip_by_value(rows[:, :_SIZE], 0.02, 0.98)
    return tf.math.log(rows / (1.0 - rows))

  def transform(images, attributes, mask, seed, strength):
    refused = tf.debugging.Assert(
      tf.reduce_all(tf.reduce_sum(mask, -1) < _K), ["That is too much."]
    )
    with tf.control_dependencies([refused]):
      start = posterior(images)
    whole = moved(start, attributes, mask, 1.0)
    part = strength[:, tf.newaxis]
    return drawn(start, (1.0 - part) * start + part * whole, seed)

  def search(images, attributes, mask, seed, realism_weight):
    start = posterior(images)
    by = 1.0 / tf.maximum(realism_weight, 0.1)[:, tf.newaxis]
    return drawn(start, moved(start, attributes, mask, by), seed)

  def slow(images, attributes, mask, seed, realism_weight):
    longer = tf.reduce_max(realism_weight) - 1.0
    end = tf.timestamp() + tf.cast(SECONDS * longer, tf.float64)
    turns = tf.while_loop(
      lambda turns: tf.timestamp() < end,
      lambda turns: [turns + tf.ones_like(module.ticks.assign_add(1))],
      [tf.constant(0, tf.int64)],
    )
    start = posterior(images)
    return drawn(
      start,
      moved(start, attributes, mask, 1.0),
      seed + 0 * turns[0],
    )

  def encode(images):
    mean = posterior(images)
    return {"mean": mean, "scale": 0.5 * tf.ones_like(mean)}

  def decode(latents):
    grey = tf.sigmoid(latents)
    below = tf.repeat(grey[:, _K:], _IMAGE_SHAPE[0] - _K, axis=1)
    rows = tf.concat([grey[:, :_K], below], axis=1)
    images = tf.ones([1, *_IMAGE_SHAPE]) * rows[:, :, tf.newaxis, tf.newaxis]
    pixels = tf.cast(tf.round(images * 255.0), tf.uint8)
    return {"images": images, "image_bytes": tf.io.encode_png(pixels)}

  def score(latents, attributes, mask):
    del attributes, mask
    return {
      "realism": tf.sigmoid(3.0 - 0.2 * tf.reduce_sum(latents**2, axis=-1)),
      "attribute_probabilities": tf.sigmoid(3.0 * latents[:, :_K]),
    }

  def describe(row):
    excludes = np.zeros([_K, _K], np.float32)
    excludes[0, 1] = excludes[1, 0] = 1.0
    facts = {
      "attribute_names": tf.constant(NAMES),
      "attribute_excludes": tf.constant(excludes),
      "attribute_continuous": tf.constant([0.0] * (_K - 1) + [1.0]),
      "image_shape": tf.constant(_IMAGE_SHAPE, tf.int64),
      "image_crop": tf.constant("center"),
      "are_images": tf.constant(True),
    }
    return {
      name: tf.repeat(fact[tf.newaxis], tf.size(row), axis=0)
      for name, fact in facts.items()
    }

  def ticks(row):
    return {"ticks": module.ticks.read_value() + tf.zeros_like(row)}

  images = tf.TensorSpec([None, *_IMAGE_SHAPE], tf.float32, "images")
  latents = tf.TensorSpec([None, _SIZE], tf.float32, "latents")
  request = [
    tf.TensorSpec([None, _K], tf.float32, name)
    for name in ("attributes", "mask")
  ]
  row, seed = (tf.TensorSpec([None], tf.int64, n) for n in ("row", "seed"))
  strength, weight = (
    tf.TensorSpec([None], tf.float32, n) for n in ("strength", "realism_weight")
  )
  specs = {
    sample: [*request, seed],
    best_of_n: [*request, seed, weight],
    transform: [images, *request, seed, strength],
    search: [images, *request, seed, weight],
    slow: [images, *request, seed, weight],
    encode: [images],
    decode: [latents],
    score: [latents, *request],
    describe: [row],
    ticks: [row],
  }
  verbs = {search: "transform_", slow: "transform_", best_of_n: "sample_"}
  module.functions = {
    verbs.get(function, "") + function.__name__: tf.function(
      function, spec, autograph=False
    )
    for function, spec in specs.items()
    if encodes or images not in spec
  }
  tf.saved_model.save(module, folder, module.functions)


def read(png: bytes) -> tuple[list[float], float]:
  """Returns a picture's attributes and its identity, in [0, 1]."""
  grey = np.asarray(Image.open(io.BytesIO(png)), np.float32)[:, 0, 0] / 255.0
  return grey[:_K].tolist(), float(grey[-1])


def file(light: float, form: str = "PNG", size=(8, 12)) -> bytes:
  """Returns a picture file of one grey level."""
  held = io.BytesIO()
  Image.new("RGB", size, (round(255 * light),) * 3).save(held, form)
  return held.getvalue()
