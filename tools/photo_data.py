"""Makes a data set of labelled photographs, with CelebA's files and layout.

    python -m tools.photo_data --out=data/photo_faces/celeb_a --images=9600

Faces of the photo generator, placed as in CelebA and padded with their edges to
178 x 218 pixels. A judge labels the attributes that it reads, and critics those
that were labelled by eye, from which they are learned first; CelebA's other
attributes are left out. Images that were made and judged are not made again;
critics are learned each time. `python -m trainers.data --dataset=celeb_a
--source_dir=data/photo_faces/celeb_a` reads the data set.
"""

import argparse
import pathlib

import numpy as np
import pandas as pd
import tqdm
from PIL import Image

import lc_keras
from lc_keras import files
from lc_keras.data import celeb_a_copies
from lc_keras.photo_faces import networks
from lc_keras.photo_faces import tables
from tools import celeb_a_stand_in
from tools import photo_labels

# labels/by_judge.csv and labels/identities.npz have the same faces.
FIRST_SEED = 200_000
# With this size and these margins, the eyes are at CelebA's positions.
_PLACED, _TOP, _LEFT = 156, 38, 12
_HEIGHT, _WIDTH = 218, 178
_COLOURS = ("Bald", "Gray_Hair", "Blond_Hair", "Black_Hair", "Brown_Hair")
# Labelled seeds below this one were not selected by their labels.
_RANDOM = 480
_DRAWS = 2_000  # for the quantiles of the critics' values
_CHUNK = 160


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--out", default="data/photo_faces/celeb_a")
  parser.add_argument(
    "--images", type=int, default=9_600, help="At least so many."
  )
  parser.add_argument("--data_dir", default="data", help="Of the packages.")
  settings = parser.parse_args()
  write(settings.out, settings.images, settings.data_dir)


def write(out, images, data_dir) -> None:
  """Writes images and lists.

  Args:
    out: A folder; images that it has are kept.
    images: Number of images, rounded up to whole chunks.
    data_dir: See `packages.folder`.
  """
  out = pathlib.Path(out)
  pictures, judged = out / "img_align_celeba", out / "judged"
  for folder in (pictures, judged):
    folder.mkdir(parents=True, exist_ok=True)
  read, parts = photo_labels.reader(data_dir), []
  with tqdm.tqdm(total=images, unit="image") as progress:
    for first in range(0, images, _CHUNK):
      table = judged / f"{first}.csv"
      if not table.exists():
        faces, found = read(np.arange(first, first + _CHUNK) + FIRST_SEED)
        for row, face in enumerate(faces, first):
          placed(face).save(pictures / celeb_a_stand_in.name(row), quality=95)
        with files.replacing(str(table)) as aside:
          found.to_csv(aside)
      parts.append(pd.read_csv(table, index_col="seed"))
      progress.update(_CHUNK)
  labels = _labels(_critics(data_dir), pd.concat(parts))
  celeb_a_stand_in.write_lists(out, labels)


def _critics(data_dir):
  """Learns critics of all labelled attributes, in two minutes."""
  table, generator = tables.labels(), networks.generator(data_dir=data_dir)
  control = lc_keras.LatentConstraints(generator, list(table.columns))
  control.fit(latents=tables.latents(generator, table.index), labels=table)
  return control


def _labels(control, judged) -> pd.DataFrame:
  """Returns a row a seed and a column an attribute of CelebA, booleans.

  Args:
    control: Has the critics of attributes that were labelled by eye.
    judged: The judges' readings by seed, see `photo_labels.reader`.
  """
  found = _above(control, judged.index) > 0.0
  # Under a hat, hair has no colour; brown hair has no second colour.
  found.loc[found["Wearing_Hat"], list(_COLOURS)] = False
  found["Brown_Hair"] &= ~found[list(_COLOURS[:-1])].any(axis=1)
  for name in ("Smiling", "Male"):
    found[name] = judged[name] > 0.5
  found["Young"] = judged["age"] < tables.OLD
  found["No_Beard"] = ~found["Beard"]
  found["Eyeglasses"] |= found["Sunglasses"]
  return found[[name for name in celeb_a_copies.ATTRIBUTES if name in found]]


def _above(control, seeds):
  """Returns critics' values, shifted to be positive at the labels' rates."""
  names, critic = control.attributes.names, control.parts.models["attributes"]
  seen = tables.labels().loc[: _RANDOM - 1]
  usual, read = (
    critic(tables.latents(control.generator, rows)).numpy()
    for rows in (FIRST_SEED + np.arange(_DRAWS), seeds)
  )
  rates = seen[list(names)].mean().to_numpy()
  cuts = [np.quantile(one, 1.0 - rate) for one, rate in zip(usual.T, rates)]
  return pd.DataFrame(read - np.float32(cuts), seeds, names)


def placed(face: np.ndarray) -> Image.Image:
  """Returns a face at the position and size of CelebA's, 178 x 218 pixels.

  Args:
    face: [size, size, 3] in [0, 1], aligned as FFHQ is.
  """
  pixels = Image.fromarray(np.uint8(np.round(255.0 * face)))
  pixels = pixels.resize((_PLACED, _PLACED), Image.Resampling.BICUBIC)
  edges = [
    (_TOP, _HEIGHT - _TOP - _PLACED),
    (_LEFT, _WIDTH - _LEFT - _PLACED),
    (0, 0),
  ]
  return Image.fromarray(np.pad(np.asarray(pixels), edges, mode="edge"))


if __name__ == "__main__":
  main()
