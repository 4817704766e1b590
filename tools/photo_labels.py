"""Labels faces of the photo generator: by judges, and on contact sheets by eye.

    python -m tools.photo_labels --first=0 --count=640 --out=runs/photo_labels

decodes each seed once and writes, 80 seeds at a time,
  sheets/<first seed>.png   contact sheet, each face with its seed
  judged/<first seed>.csv   readings of face-api's networks: Smiling, Male, age

Files that exist are not made again. To add an attribute, look at the sheets and
write a table of two columns, seed and the attribute: 1, 0, or nothing where it
is unclear. `LatentConstraints.learn(name, labels=table)` learns from it, and so
does all else once it is a column of lc_keras/photo_faces/labels/by_eye.csv.

    python -m tools.photo_labels --first=200000 --count=9600 --identities=F

writes the identity vectors of the seeds' images to F, for `tables.identities`.
"""

import argparse
import os

import numpy as np
import pandas as pd
import tensorflow as tf
import tqdm
from PIL import Image

from lc_keras import files
from lc_keras import plotting
from lc_keras.photo_faces import early_exit
from lc_keras.photo_faces import face_api
from lc_keras.photo_faces import networks
from lc_keras.photo_faces import tables

_SIZE = 256  # Pixels of judged images; a sheet shows half of that.
_COLUMNS, _ROWS = 10, 8
_SHEET = _COLUMNS * _ROWS
_AT_ONCE = 8
_AXES = 32  # Principal axes of identity vectors that are kept.


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--first", type=int, default=0, help="The first seed.")
  parser.add_argument("--count", type=int, default=640, help="How many.")
  parser.add_argument("--out", default="runs/photo_labels", help="A folder.")
  parser.add_argument("--data_dir", default="data", help="Of the packages.")
  parser.add_argument("--identities", help="A file of them; no sheets then.")
  settings = parser.parse_args()
  if settings.identities:
    seeds = range(settings.first, settings.first + settings.count)
    axes = identities(seeds, settings.data_dir)
    with files.replacing(settings.identities) as aside:
      with open(aside, "wb") as file:
        np.savez_compressed(file, seeds=seeds, identities=axes)
    return
  read = reader(settings.data_dir)
  for folder in ("sheets", "judged"):
    os.makedirs(os.path.join(settings.out, folder), exist_ok=True)
  for first in range(settings.first, settings.first + settings.count, _SHEET):
    table = os.path.join(settings.out, "judged", f"{first}.csv")
    if os.path.exists(table):
      continue
    seeds = np.arange(first, first + _SHEET)
    images, judged = read(seeds)
    sheet = os.path.join(settings.out, "sheets", f"{first}.png")
    plotting.save(contact_sheet(images, seeds), sheet)
    with files.replacing(table) as aside:
      judged.to_csv(aside, float_format="%.3f")
    print(sheet, flush=True)


def reader(data_dir):
  """Returns a function of seeds to images and a frame of judges' readings."""
  mapping = networks.mapping(data_dir)
  decode = networks.decoder(_SIZE, data_dir)
  judges = {
    "Smiling": face_api.smile(data_dir),
    "Male": face_api.male(data_dir),
    "age": face_api.age(data_dir),
  }

  @tf.function(autograph=False)
  def few(z):
    images = decode(mapping(z))
    return images, {name: judge(images) for name, judge in judges.items()}

  def read(seeds):
    z = tables.draws(seeds)
    parts = [few(part) for part in np.split(z, len(z) // _AT_ONCE)]
    images = np.concatenate([images for images, _ in parts])
    columns = {
      name: np.concatenate([found[name] for _, found in parts])
      for name in judges
    }
    return images, pd.DataFrame(columns, pd.Index(seeds, name="seed"))

  return read


def identities(seeds, data_dir) -> np.ndarray:
  """Returns identity vectors, float16 [n, 32], along their principal axes."""
  mapping, who = networks.mapping(data_dir), face_api.identity(data_dir)
  decode = networks.decoder(_SIZE, data_dir)
  read = tf.function(lambda z: who(decode(mapping(z))), autograph=False)
  z = tables.draws(seeds)
  starts = tqdm.tqdm(range(0, len(z), _AT_ONCE), unit_scale=_AT_ONCE)
  vectors = np.concatenate([read(z[i : i + _AT_ONCE]) for i in starts])
  around = vectors - vectors.mean(axis=0, dtype=np.float64)
  _, _, axes = np.linalg.svd(around, full_matrices=False)
  return np.float16(around @ axes[:_AXES].T)


def contact_sheet(images: np.ndarray, seeds: np.ndarray) -> Image.Image:
  """Draws 80 faces, [80, 256, 256, 3], at half size, each with its seed."""
  cells = early_exit.smaller(images, 2)
  return plotting.grid(
    cells.reshape(_ROWS, _COLUMNS, *cells.shape[1:]),
    cell_labels=np.reshape([str(seed) for seed in seeds], [_ROWS, _COLUMNS]),
  )


if __name__ == "__main__":
  main()
