"""The generator of faces: mapping and decoders, ready to be controlled."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from lc_keras import batched
from lc_keras import files
from lc_keras.generators import generator as generators
from lc_keras.photo_faces import early_exit
from lc_keras.photo_faces import packages
from lc_keras.photo_faces import synthesis

# Pixels of the decoders' images.
SIZES = (128, 256, synthesis.IMAGE_SIZE)
_HEADS = "early_exits.npz"
# Number of full-size images that the heads of the early exits are fitted to,
# and of draws to average w over.
_FITTED, _AVERAGED = 24, 1000
_SEED = (5, 0)


def generator(
  size: int = 256, data_dir: str = "data", truncation: float = 1.0
) -> generators.Generator:
  """Returns the generator of faces, to be controlled in w.

  Generators of all sizes have the same latents: `full_size` decodes latents
  that were found with small images.

  Args:
    size: See `decoder`.
    data_dir: See `packages.folder`.
    truncation: See `generators.mapping.Draws`.
  """
  return generators.Generator(
    decoder(size, data_dir),
    mapping=mapping(data_dir),
    latent_size=synthesis.LATENT_SIZE,
    pixel_range=(0.0, 1.0),
    truncation=truncation,
  )


def mapping(data_dir: str = "data") -> Callable[[tf.Tensor], tf.Tensor]:
  """Returns the mapping network: z [n, 512] to w [n, 512].

  Args:
    data_dir: See `packages.folder`.
  """
  return synthesis.read_mapping(data_dir)


def decoder(
  size: int = 256, data_dir: str = "data"
) -> Callable[[tf.Tensor], tf.Tensor]:
  """Returns a decoder: w to images [n, size, size, 3] in [0, 1].

  w is [n, 512] or, one for every style, [n, 23, 512]. On one core of 2020 an
  image takes 0.3 s at 1024 pixels, 0.13 s at 256 and 0.07 s at 128.

  Args:
    size: In pixels: 1024 is the full size; 256 and 128 are early exits, which
      are fitted at the first use of one, in half a minute.
    data_dir: See `packages.folder`.

  Raises:
    FileNotFoundError: The package is not installed.
    ValueError: There is no decoder of this size.
  """
  if size not in SIZES:
    raise ValueError(
      f"The face generator makes images of {SIZES} pixels; got {size}."
    )
  steps = synthesis.read_steps(data_dir)
  if size == synthesis.IMAGE_SIZE:

    def made(w):
      return tf.clip_by_value(synthesis.run(steps, w), -1.0, 1.0)
  else:
    made = early_exit.EarlyExit(steps, size, _heads(steps, size, data_dir))

  def decode(w):
    return 0.5 * (made(tf.convert_to_tensor(w)) + 1.0)

  return decode


def full_size(
  one: generators.Generator, latents: np.ndarray, data_dir: str = "data"
) -> np.ndarray:
  """Returns full-size images of latents, [n, 1024, 1024, 3] in [0, 1].

  It decodes two at a time, which bounds its memory.

  Args:
    one: Result of `generator`, of any size, or one that was saved.
    latents: float32 [n, latent_size].
    data_dir: See `packages.folder`.
  """
  decode = decoder(synthesis.IMAGE_SIZE, data_dir)
  coordinates = one.mapping.coordinates
  shape = (synthesis.IMAGE_SIZE, synthesis.IMAGE_SIZE, 3)
  draw = batched.Batched(
    lambda rows: {"images": decode(coordinates.to_own(rows))},
    batched.rows_at_once(shape),
  )
  return draw(latents)["images"]


def save_full_size(
  one: generators.Generator, folder: str, data_dir: str = "data"
) -> None:
  """Writes a SavedModel that decodes latents in full size, for a server.

  Its signature "decode" maps "latents" to "image_bytes", PNG files of 1024 x
  1024 pixels, one at a time, which bounds its memory.

  Args:
    one: See `full_size`.
    folder: Its path; it is written completely or not at all.
    data_dir: See `packages.folder`.
  """
  decode_own = decoder(synthesis.IMAGE_SIZE, data_dir)
  coordinates = one.mapping.coordinates

  def picture(row):
    image = decode_own(coordinates.to_own(row[tf.newaxis]))[0]
    return tf.io.encode_png(tf.cast(tf.round(255.0 * image), tf.uint8))

  @tf.function(
    input_signature=[tf.TensorSpec([None, one.latent_size], name="latents")],
    autograph=False,
  )
  def decode(latents):
    files_of = tf.map_fn(
      picture, latents, fn_output_signature=tf.string, parallel_iterations=1
    )
    return {"image_bytes": files_of}

  with files.replacing(folder) as aside:
    tf.saved_model.save(tf.Module(), aside, signatures={"decode": decode})


def _heads(steps, size, data_dir):
  """Returns the heads of an early exit; fits those of all sizes if needed."""
  path = os.path.join(packages.cache(data_dir), _HEADS)
  if not os.path.exists(path):
    heads = _fitted(steps, data_dir)
    with files.replacing(path) as aside:
      np.savez(aside, **heads)
  with np.load(path, allow_pickle=False) as heads:
    return [heads[f"{size}_{number}"] for number in range(2)]


def _fitted(steps, data_dir):
  """Returns heads fitted to full-size images of truncation 0.5 to 1."""
  z = tf.random.stateless_normal([_AVERAGED, synthesis.LATENT_SIZE], _SEED)
  draws = mapping(data_dir)(z).numpy()
  truncation = np.linspace(0.5, 1.0, _FITTED, dtype=np.float32)[:, np.newaxis]
  center = draws.mean(axis=0)
  w = center + truncation * (draws[:_FITTED] - center)
  draw = tf.function(lambda rows: synthesis.run(steps, rows), autograph=False)
  largest = SIZES[-2]
  images = np.concatenate(
    [
      early_exit.smaller(
        np.clip(draw(w[row : row + 1]), -1.0, 1.0),
        synthesis.IMAGE_SIZE // largest,
      )
      for row in range(_FITTED)
    ]
  )
  heads = {}
  for size in SIZES[:-1]:
    one = early_exit.EarlyExit(steps, size)
    one.fit(w, early_exit.smaller(images, largest // size))
    heads |= {f"{size}_{n}": head for n, head in enumerate(one.heads)}
  return heads
