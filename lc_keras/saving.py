"""Writes parts to a folder that `parts.read` and the trainers can read."""

import dataclasses
import os

from lc_keras import files
from lc_keras import parts as parts_of
from lc_keras import run_folder
from lc_keras.data import latent_cache
from lc_keras.generators import generator as generators
from lc_keras.generators import writing
from lc_keras.learning import learned_constraints
from lc_keras.models import storage


def write(parts: parts_of.Parts, folder: str) -> None:
  """Writes a generator and all that was learned for it.

  Args:
    parts: Held in memory, or read from another folder.
    folder: Its path; it is written completely or not at all.

  Raises:
    ValueError: The folder holds something else.
  """
  if not os.fspath(folder):
    raise ValueError("The name of the folder is empty.")
  folder = os.path.abspath(folder)
  _check_replaceable(folder)
  with files.replacing(folder) as aside:
    os.makedirs(aside)
    writing.write(parts.generator, aside)
    fingerprint = generators.fingerprint(aside)
    run_folder.write_about(
      aside,
      None,
      parts.labels,
      encoded=parts.encoded,
      **parts.preprocessing.about(),
    )
    if parts.latents:
      latent_cache.write(
        os.path.join(aside, "latents", "cache"),
        dict(parts.latents),
        {"generator": fingerprint},
      )
    for name, model in parts.models.items():
      if name not in generators.STAGES:
        place = os.path.join(aside, name)
        storage.save(model, place, made_for=fingerprint)
    for one in parts.learned.values():
      manifest = {**one.manifest, "generator": fingerprint}
      learned_constraints.write(
        aside, dataclasses.replace(one, manifest=manifest)
      )


def _check_replaceable(folder):
  """Raises ValueError unless a folder is empty, absent or was saved before."""
  if not os.path.lexists(folder):
    return
  if os.path.commonpath([os.getcwd(), folder]) == folder:
    raise ValueError(
      f"{folder!r} is the folder that you are in, or above it, and would be "
      "replaced: name one in it."
    )
  if os.path.isdir(folder):
    if not os.listdir(folder):
      return
    if os.path.exists(os.path.join(folder, run_folder.ABOUT)):
      if run_folder.read_about(folder)["dataset"] is None:
        return
  raise ValueError(
    f"{folder!r} holds other files, which would be lost: name a new folder, or "
    "one that was saved before."
  )
