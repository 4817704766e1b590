"""Learns to control the generator of faces from the tables of labels."""

from collections.abc import Sequence

from lc_keras import control
from lc_keras import recipes as settings
from lc_keras.photo_faces import tables

# An edit keeps every attribute that it does not change: these, which critics
# read less reliably, would for example prevent edits of the age.
_LEFT_OUT = ("Black_Hair", "Brown_Hair", "Gray_Hair")


def learn(
  generator, *, recipes: Sequence[settings.Training] = (), **options
) -> control.LatentConstraints:
  """Returns the generator with the models learned for it.

  They are critics of most attributes of `tables.labels` and of realism, and an
  embedding of identity, which edits can keep. No image is decoded.

  Args:
    generator: Result of `networks.generator`, not truncated.
    recipes: See `LatentConstraints.fit`.
    **options: Options of `LatentConstraints.fit`.
  """
  table = tables.labels().drop(columns=list(_LEFT_OUT))
  people = tables.identities()
  learned = control.LatentConstraints(generator, list(table.columns))
  learned.fit(
    latents=tables.latents(generator, table.index),
    labels=table,
    recipes=recipes,
    **options,
  )
  learned.keep(
    people.to_numpy(),
    tables.latents(generator, people.index),
    seed=options.get("seed", 0),
  )
  return learned
