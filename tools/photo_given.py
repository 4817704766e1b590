"""Edits a given photograph: `python -m tools.photo_given --photograph=me.jpg`.

Finds the face, inverts it into the generator of `make demo-photo`, edits it and
writes a picture of all edits. Prints the error of the inversion, and the
identity distance of each edit from the photograph. Learns an encoder if the run
has none.
"""

import argparse
import os
import sys
import time

import numpy as np
import tensorflow as tf
from PIL import Image

import lc_keras
from lc_keras import plotting
from lc_keras.models import encoder
from lc_keras.photo_faces import alignment
from lc_keras.photo_faces import face_api
from lc_keras.photo_faces import inversion
from lc_keras.photo_faces import networks

_EDITS = "not Smiling,Eyeglasses,Long_Hair,Male,Wearing_Hat"
# Draws on which the encoder is trained, and on which it is tested.
_DRAWS, _TRIED = 320, 1
_SHOWN = 200  # Pixels of a picture.


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--photograph", required=True, help="A picture file.")
  parser.add_argument("--edits", default=_EDITS, help="With commas between.")
  parser.add_argument("--run_dir", default="runs/photo", help="Of the demo.")
  parser.add_argument("--data_dir", default="data", help="Of the packages.")
  parser.add_argument("--out", default="runs/photo_given.jpg", help="A file.")
  settings = parser.parse_args()
  try:
    edit(settings)
  except (OSError, ValueError) as error:
    sys.exit(f"error: {error}")


def edit(settings):
  """Inverts and edits the photograph."""
  data_dir = settings.data_dir
  control = lc_keras.load(settings.run_dir)
  if encoder.MODEL not in control.parts.models:
    print(control.learn_encoder(count=_DRAWS, tried=_TRIED))
  photograph = Image.open(settings.photograph)
  face = alignment.Aligner(data_dir)(photograph, networks.SIZES[-1])
  invert = inversion.Inverter(
    control.generator, control.parts.models[encoder.MODEL], data_dir=data_dir
  )
  began = time.monotonic(), time.process_time()
  found = invert(_scaled(face, inversion.SIZE)[np.newaxis])
  print(
    f"Found in {time.monotonic() - began[0]:.0f} s, "
    f"{time.process_time() - began[1]:.0f} s of CPU time"
  )
  shown, identity = {"photograph": face}, face_api.identity(data_dir)
  decoders = {
    size: tf.function(networks.decoder(size, data_dir), autograph=False)
    for size in networks.SIZES
  }
  for request in [None, *filter(None, settings.edits.split(","))]:
    latents = found.latents
    if request:
      latents = control.transform(latents, request).latents
    w, told = invert.own(found._replace(latents=latents)), []
    for size, decode in decoders.items():
      image, target = decode(w).numpy()[0], _scaled(face, size)
      who = identity(np.stack([image, target])).numpy()
      error = -10.0 * np.log10(np.square(image - target).mean())
      apart = np.linalg.norm(who[0] - who[1])
      told.append(f"{size} pixels: {apart:.2f} ({error:.1f} dB)")
    print(f"{request or 'found'}, identity distance at {', '.join(told)}")
    shown[request or "found"] = image
  small = np.stack([_scaled(image, _SHOWN) for image in shown.values()])
  os.makedirs(os.path.dirname(settings.out) or ".", exist_ok=True)
  plotting.grid(small[np.newaxis], column_labels=list(shown)).save(
    settings.out, quality=90
  )
  print(f"The picture: {settings.out}")


def _scaled(image, size):
  """Resizes an image; returns [size, size, 3] in [0, 1]."""
  pixels = Image.fromarray(np.uint8(np.round(255.0 * image)))
  pixels = pixels.resize((size, size), Image.Resampling.LANCZOS)
  return np.float32(pixels) / 255.0


if __name__ == "__main__":
  main()
