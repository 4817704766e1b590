"""Learns to control the generator of faces from the tables of labels."""

from collections.abc import Sequence

from lc_keras import control
from lc_keras import recipes as settings
from lc_keras.photo_faces import tables

# An edit keeps every attribute that it does not change: these, which critics
# read less reliably, would for example prevent edits of the age.
_LEFT_OUT = ("Black_Hair", "Brown_Hair", "Gray_Hair")
# A larger weight preserves more people, and fewer edits show.
_SAME = 1.0


def learn(
  generator, *, recipes: Sequence[settings.Training] = (), **options
) -> control.LatentConstraints:
  """Returns the generator with the models learned for it.

  They are critics of most attributes of `tables.labels` and of realism, an
  embedding of identity, which edits can keep, and "search_actor", which keeps
  it. No image is decoded.

  Args:
    generator: Result of `networks.generator`, not truncated.
    recipes: See `LatentConstraints.fit`.
    **options: Options of `LatentConstraints.fit`.
  """
  table = tables.labels().drop(columns=list(_LEFT_OUT))
  people = tables.identities()
  learned = control.LatentConstraints(generator, list(table.columns))
  learned.keep(
    people.to_numpy(),
    tables.latents(generator, people.index),
    seed=options.get("seed", 0),
  )
  learned.fit(
    latents=tables.latents(generator, table.index),
    labels=table,
    recipes=[
      settings.SearchActor(same_weight=_SAME, seed=options.get("seed", 0)),
      *recipes,
    ],
    **options,
  )
  return learned
