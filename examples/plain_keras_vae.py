"""Trains a variational autoencoder without lc_keras, and writes a SavedModel.

It stands for the model that you have already: plain Keras, with its own names
and pixel range. It trains on Fashion-MNIST in a few minutes on two cores; then
it is imported into a run:

    python examples/plain_keras_vae.py \
        --data=/usr/share/datasets/fashion-mnist --out=/tmp/plain_vae

    python -m trainers.import_generator --run_dir=runs/theirs \
        --dataset=fashion_mnist --decoder=/tmp/plain_vae \
        --decode_signature=generate --encode_signature=embed \
        --encode_mean=mu --encode_log_variance=log_var --pixel_range=-1,1
"""

import argparse
import gzip
import math
import os

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

_CODE = 16
_SIDE = 28


def read_images(folder, limit):
  """Reads the training images: float32 [n, 28, 28, 1] in [-1, 1]."""
  with gzip.open(os.path.join(folder, "train-images-idx3-ubyte.gz")) as file:
    header, pixels = file.read(16), file.read()
  count, height, width = np.frombuffer(header, ">u4", 3, 4)
  images = np.frombuffer(pixels, np.uint8).reshape(count, height, width, 1)
  return images[:limit].astype(np.float32) / 127.5 - 1.0


def networks():
  """Returns an encoder to mean and log-variance, and a decoder to pixels."""
  layers = keras.layers
  pixels = keras.Input([_SIDE, _SIDE, 1])
  x = layers.Conv2D(32, 4, 2, "same", activation="relu")(pixels)
  x = layers.Conv2D(64, 4, 2, "same", activation="relu")(x)
  x = layers.Dense(128, activation="relu")(layers.Flatten()(x))
  encoder = keras.Model(
    pixels, [layers.Dense(_CODE)(x), layers.Dense(_CODE)(x)]
  )
  decoder = keras.Sequential(
    [
      keras.Input([_CODE]),
      layers.Dense(128, activation="relu"),
      layers.Dense(7 * 7 * 64, activation="relu"),
      layers.Reshape([7, 7, 64]),
      layers.Conv2DTranspose(32, 4, 2, "same", activation="relu"),
      layers.Conv2DTranspose(1, 4, 2, "same", activation="tanh"),
    ]
  )
  return encoder, decoder


def train(encoder, decoder, images, steps, batch_size):
  """Maximises the evidence lower bound, with a standard deviation of 0.2."""
  optimizer = keras.optimizers.Adam(
    keras.optimizers.schedules.CosineDecay(2e-3, steps, alpha=0.02)
  )
  variables = encoder.trainable_variables + decoder.trainable_variables
  optimizer.build(variables)

  @tf.function
  def step(batch):
    with tf.GradientTape() as tape:
      mu, log_var = encoder(batch)
      noise = tf.random.normal(tf.shape(mu))
      made = decoder(mu + tf.exp(0.5 * log_var) * noise)
      error = tf.reduce_sum(tf.square(made - batch), [1, 2, 3]) / (2 * 0.2**2)
      rate = tf.reduce_sum(tf.square(mu) + tf.exp(log_var) - log_var - 1, 1) / 2
      loss = tf.reduce_mean(error + rate)
    optimizer.apply(tape.gradient(loss, variables), variables)
    return tf.reduce_mean(error), tf.reduce_mean(rate)

  data = tf.data.Dataset.from_tensor_slices(images).shuffle(10_000, seed=0)
  data = data.repeat().batch(batch_size, drop_remainder=True).prefetch(2)
  every = math.ceil(steps / 10)
  for number, batch in enumerate(data.take(steps), start=1):
    error, rate = step(batch)
    if number % every == 0 or number == steps:
      print(f"step {number}: error {error:.1f}, rate {rate:.1f}", flush=True)


def export(encoder, decoder, folder):
  """Writes a SavedModel with the signatures `generate` and `embed`."""

  def generate(code):
    return {"pixels": decoder(code)}

  def embed(pixels):
    mu, log_var = encoder(pixels)
    return {"mu": mu, "log_var": log_var}

  archive = keras.export.ExportArchive()
  code = tf.TensorSpec([None, _CODE], tf.float32, "code")
  archive.add_endpoint("generate", generate, [code])
  pixels = tf.TensorSpec([None, _SIDE, _SIDE, 1], tf.float32, "pixels")
  archive.add_endpoint("embed", embed, [pixels])
  archive.write_out(folder, verbose=False)


def main():
  """Trains the model and writes it."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--data", required=True, help="folder of the four files")
  parser.add_argument("--out", required=True, help="folder to be written")
  parser.add_argument("--steps", type=int, default=3000, help="updates")
  parser.add_argument("--batch_size", type=int, default=128, help="images")
  parser.add_argument("--limit", type=int, help="use only so many images")
  given = parser.parse_args()
  keras.utils.set_random_seed(0)
  encoder, decoder = networks()
  images = read_images(given.data, given.limit)
  train(encoder, decoder, images, given.steps, given.batch_size)
  export(encoder, decoder, given.out)
  print(f"Written to {given.out}")


if __name__ == "__main__":
  main()
