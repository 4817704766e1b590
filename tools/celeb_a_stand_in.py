"""Draws cartoon faces as a stand-in for CelebA, in the formats of its copies.

    python -m tools.celeb_a_stand_in --out=data/stand_in --images=6000

Names, sizes, formats and proportions are CelebA's; the middle 128 x 128 pixels
are a toon face, with eyes and mouth at CelebA's positions. It serves to test
the jobs at CelebA's size without CelebA: users never need it.
"""

import argparse
import io
import multiprocessing
import os
import pathlib
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from lc_keras.data import celeb_a_copies
from lc_keras.data.toon_faces import factors
from lc_keras.data.toon_faces import renderer

FORMS = ("official", "torchvision", "kaggle", "parquet")
# CelebA's rates of attributes that toon faces lack, which are drawn at random.
_OTHER_RATES = {
  "Arched_Eyebrows": 0.267,
  "Attractive": 0.513,
  "Big_Lips": 0.241,
  "Blurry": 0.051,
  "Double_Chin": 0.047,
  "Heavy_Makeup": 0.387,
  "High_Cheekbones": 0.455,
  "Oval_Face": 0.284,
  "Pointy_Nose": 0.277,
  "Wearing_Earrings": 0.189,
  "Wearing_Necklace": 0.123,
  "Wearing_Necktie": 0.073,
}
_HEIGHT, _WIDTH, _CROP = 218, 178, 128
_SPLITS = {"train": 162_770, "valid": 19_867, "test": 19_962}
_CHUNK = 240  # faces that a worker draws at a time
_SHARD = 8_192  # rows of a parquet file
_FOLDER = "img_align_celeba"


def labels(start: int, stop: int, seed: int = 0) -> np.ndarray:
  """Returns the attributes of faces start to stop - 1, bool [n, 40]."""
  known = factors.sample(seed, start, stop).labels
  columns = []
  for name in celeb_a_copies.ATTRIBUTES:
    if name in factors.NAMES:
      columns.append(known[:, factors.NAMES.index(name)])
    else:
      draws = np.random.default_rng(
        [seed, start, celeb_a_copies.ATTRIBUTES.index(name)]
      )
      columns.append(draws.random(stop - start) < _OTHER_RATES[name])
  return np.stack(columns, axis=1)


def split_of(row: int, images: int) -> int:
  """Returns a row's split, 0, 1 or 2, in the official order and proportions."""
  ends = np.cumsum([*_SPLITS.values()]) / celeb_a_copies.IMAGES * images
  return int(np.searchsorted(ends, row, side="right"))


def _draw(task) -> tuple[np.ndarray, list[bytes]]:
  """Returns labels and JPEG files of rows [start, stop)."""
  start, stop, scene, seed = task
  rows, columns = (_HEIGHT - _CROP) // 2, (_WIDTH - _CROP) // 2
  faces = renderer.render(factors.sample(seed, start, stop), scene)
  faces = faces.repeat(_CROP // 64, axis=1).repeat(_CROP // 64, axis=2)
  edges = (0, 0), (rows, rows), (columns, columns), (0, 0)
  files = []
  for image in np.pad(faces, edges, mode="edge"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=90)
    files.append(file.getvalue())
  return labels(start, stop, seed), files


def name(row: int) -> str:
  """Returns the file name of a row's image."""
  return f"{row + 1:06d}.jpg"


def write_lists(out: pathlib.Path, on: pd.DataFrame, as_csv: bool = False):
  """Writes the lists of attributes and of splits.

  Args:
    out: A folder.
    on: Booleans, a row an image and a column an attribute.
    as_csv: Whether to write CSV, as in Kaggle's copy.
  """
  rows = range(len(on))
  names = pd.Index(map(name, rows), name="image_id")
  signs = pd.DataFrame(np.where(on, 1, -1), names, on.columns)
  split = pd.Series([split_of(row, len(on)) for row in rows], names)
  if as_csv:
    signs.to_csv(out / "list_attr_celeba.csv")
    split.to_csv(out / "list_eval_partition.csv", header=["partition"])
    return
  with open(out / "list_attr_celeba.txt", "w") as file:
    print(len(on), " ".join(on.columns), sep="\n", file=file)
    signs.to_csv(file, sep=" ", header=False)
  split.to_csv(out / "list_eval_partition.txt", sep=" ", header=False)


def _write_shards(out, images, drawn):
  """Writes parquet files as in the copy on Hugging Face."""
  out = out / "img_align+identity+attr"
  out.mkdir()
  counts = np.bincount(
    [split_of(row, images) for row in range(images)], minlength=len(_SPLITS)
  )
  rows = ((row, *one) for row, one in enumerate(drawn))
  for split, count in zip(_SPLITS, counts):
    shards = -(-count // _SHARD)
    for shard in range(shards):
      size = count // shards + (shard < count % shards)
      part = [next(rows) for _ in range(size)]
      pictures = [{"bytes": f, "path": name(row)} for row, _, f in part]
      columns = np.stack([on for _, on, _ in part], axis=1)
      table = {
        "image": pictures,
        "celeb_id": [row % 10_177 for row, *_ in part],
      }
      table |= {
        one: column for one, column in zip(celeb_a_copies.ATTRIBUTES, columns)
      }
      path = out / f"{split}-{shard:05d}-of-{shards:05d}.parquet"
      # Small row groups, so that a reader needs little memory.
      parquet.write_table(pa.table(table), path, row_group_size=100)


def write(
  out: str | os.PathLike,
  form: str,
  images: int,
  scene: str = "wild",
  seed: int = 0,
  workers: int | None = None,
) -> None:
  """Draws images into a new folder.

  Args:
    out: The folder.
    form: One of `FORMS`.
    images: Number of images.
    scene: "studio" or "wild", see `toon_faces`.
    seed: Seed of the faces.
    workers: Number of processes that draw; one a core if not given.

  Raises:
    FileExistsError: The folder is there already.
  """
  out = pathlib.Path(out)
  out.mkdir(parents=True)
  tasks = [
    (start, min(start + _CHUNK, images), scene, seed)
    for start in range(0, images, _CHUNK)
  ]
  with multiprocessing.Pool(workers or os.cpu_count()) as pool:
    drawn = (one for part in pool.imap(_draw, tasks) for one in zip(*part))
    if form == "parquet":
      _write_shards(out, images, drawn)
      return
    base = out / "celeba" if form == "torchvision" else out
    folder = base / _FOLDER / (_FOLDER if form == "kaggle" else "")
    on = []
    if form == "official":
      with zipfile.ZipFile(out / f"{_FOLDER}.zip", "w") as packed:
        for row, (values, file) in enumerate(drawn):
          packed.writestr(f"{_FOLDER}/{name(row)}", file)
          on.append(values)
    else:
      folder.mkdir(parents=True)
      for row, (values, file) in enumerate(drawn):
        (folder / name(row)).write_bytes(file)
        on.append(values)
  table = pd.DataFrame(on, columns=celeb_a_copies.ATTRIBUTES)
  write_lists(base, table, as_csv=form == "kaggle")


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--out", required=True, help="A new folder.")
  parser.add_argument("--form", choices=FORMS, default="official")
  parser.add_argument("--images", type=int, default=celeb_a_copies.IMAGES)
  parser.add_argument("--scene", choices=("studio", "wild"), default="wild")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--workers", type=int, help="Processes; a core each.")
  write(**vars(parser.parse_args()))


if __name__ == "__main__":
  main()
