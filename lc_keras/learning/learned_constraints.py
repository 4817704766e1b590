"""Constraints that were learned afterwards, and their files.

Each has a folder, `<run>/constraints/<name>`: model.json and weights, as
`storage` writes them, perhaps the same for an actor in `actor`, and
manifest.json with its generator, source and figures. A constraint of another
generator is refused: the same latent vector means another image there.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import tensorflow as tf

from lc_keras import files
from lc_keras.learning import constraint_names
from lc_keras.models import storage
from lc_keras.models import value_actor
from lc_keras.models import value_model
from lc_keras.samplers import extended
from lc_keras.samplers import sampler

_ACTOR = "actor"
_FORMAT = 1
# A row that reads nearer to its target than this is left to the search.
_NEAR = 0.1


@dataclasses.dataclass(frozen=True)
class LearnedConstraint:
  """A constraint that was learned afterwards.

  Attributes:
    name: Its name in requests.
    model: Its critic.
    manifest: JSON values: "generator" (fingerprint), "continuous" (whether it
      may have any value in [0, 1]), "source" (what it was learned from),
      "figures" (see `calibration`), "trustworthy", perhaps "margin" (off and
      on, see `Judges`), and more.
    actor: Replaces a search by a single step; None if there is none.
  """

  name: str
  model: value_model.ValueModel
  manifest: dict
  actor: value_actor.ValueActor | None = None

  @property
  def continuous(self) -> bool:
    """Whether it may have any value in [0, 1], not only 0 and 1."""
    return self.manifest["continuous"]


def summary(manifest: Mapping) -> str:
  """Returns a line on the source and the figures of a constraint.

  Args:
    manifest: See `LearnedConstraint`.
  """
  figures = manifest.get("test", manifest["figures"])
  source = manifest["source"]
  origins = (source.get(key) for key in ("rule", "file", "attribute"))
  origin = next(filter(None, origins), "labels")
  told = [f"from {origin}", f"{manifest['figures']['rows']} rows"]
  for name in ("balanced_accuracy", "f1"):
    low, high = figures[name]["interval"]
    told.append(
      f"{name.replace('_', ' ')} {figures[name]['value']:.3f} "
      f"({low:.3f} to {high:.3f})"
    )
  if not manifest["trustworthy"]:
    told.append("UNRELIABLE")
  return ", ".join(told)


def write(run_dir: str, learned: LearnedConstraint) -> str:
  """Writes a constraint beside its generator; returns its folder.

  A constraint of the same name is replaced as a whole.
  """
  constraint_names.check_name(learned.name)
  folder = os.path.join(run_dir, constraint_names.FOLDER, learned.name)
  os.makedirs(os.path.dirname(folder), exist_ok=True)
  with files.replacing(folder) as aside:
    storage.save(learned.model, aside)
    checksums = {"weights_sha256": _checksum(aside)}
    if learned.actor is not None:
      storage.save(learned.actor, os.path.join(aside, _ACTOR))
      checksums["actor_sha256"] = _checksum(os.path.join(aside, _ACTOR))
    files.write_json(
      os.path.join(aside, constraint_names.MANIFEST),
      {
        "format": _FORMAT,
        "name": learned.name,
        **checksums,
        **learned.manifest,
      },
    )
  return folder


def read_manifest(run_dir: str, name: str) -> dict:
  """Returns the manifest of a constraint, without loading its model.

  Raises:
    FileNotFoundError: There is none of this name.
    ValueError: It is of another format, or the name is invalid.
  """
  constraint_names.check_name(name)
  path = os.path.join(
    run_dir, constraint_names.FOLDER, name, constraint_names.MANIFEST
  )
  if not os.path.exists(path):
    known = ", ".join(constraint_names.names(run_dir)) or "none"
    raise FileNotFoundError(
      f"{run_dir!r} has no constraint {name!r}; it has {known}. Learn it with "
      "`python -m trainers.constraint`."
    )
  manifest = files.read_json(path)
  if manifest["format"] != _FORMAT:
    raise ValueError(
      f"The constraint {name!r} in {run_dir!r} has format "
      f"{manifest['format']}; this version reads {_FORMAT}. Learn it again."
    )
  return manifest


def read(run_dir: str, name: str, generator: str) -> LearnedConstraint:
  """Loads a constraint.

  Args:
    run_dir: The run folder.
    name: Name of the constraint.
    generator: Fingerprint of the generator that it is to be used with.

  Raises:
    FileNotFoundError: There is none of this name.
    ValueError: It was learned for another generator, or is damaged.
  """
  manifest = read_manifest(run_dir, name)
  if manifest["generator"] != generator:
    raise ValueError(
      f"The constraint {name!r} in {run_dir!r} was learned for the generator "
      f"{manifest['generator'][:12]}, and this one is {generator[:12]}: the "
      "same latent vector is another image there. Learn it again, with "
      "`python -m trainers.constraint`."
    )
  folder = os.path.join(run_dir, constraint_names.FOLDER, name)
  model = _load(folder, manifest["weights_sha256"])
  actor = None
  if "actor_sha256" in manifest:
    actor = _load(os.path.join(folder, _ACTOR), manifest["actor_sha256"])
  return LearnedConstraint(name, model, manifest, actor)


def extend(
  judges: sampler.Judges, learned: Sequence[LearnedConstraint]
) -> sampler.Judges:
  """Returns judges that know learned constraints, too.

  Args:
    judges: The judges to extend.
    learned: The constraints; each becomes a column after the existing ones.
  """
  if not learned:
    return judges
  count = len(judges.attributes)

  def attribute_critic(latents):
    new = tf.stack([one.model(latents) for one in learned], axis=-1)
    return tf.concat([judges.attribute_critic(latents), new], axis=-1)

  return dataclasses.replace(
    judges,
    attributes=judges.attributes.extended(
      [one.name for one in learned],
      [one.name for one in learned if one.continuous],
    ),
    # The critic was trained on its own attributes only.
    critic=lambda latents, values, mask: judges.critic(
      latents, values[:, :count], mask[:, :count]
    ),
    attribute_critic=attribute_critic,
    margin=tf.concat(
      [
        tf.zeros([2, count]) if judges.margin is None else judges.margin,
        tf.transpose(
          [one.manifest.get("margin", [0.0, 0.0]) for one in learned]
        ),
      ],
      axis=-1,
    ),
  )


def advance(learned: Sequence[LearnedConstraint]) -> extended.Advance:
  """Returns a function that applies actors of constraints before a search.

  Args:
    learned: The learned constraints, the last columns of requests in order.

  Returns:
    A function of latents and a constraint. It moves rows that request a learned
    constraint with an actor and do not read as requested yet.
  """

  def move(latents, constraint):
    first = constraint.values.shape[-1] - len(learned)
    for column, one in enumerate(learned, first):
      if one.actor is None:
        continue
      wanted = constraint.values[:, column]
      away = tf.abs(tf.sigmoid(one.model(latents)) - wanted) > _NEAR
      asked = constraint.weights[:, column] > 0.0
      moved = one.actor(latents, wanted)
      latents = tf.where((asked & away)[:, tf.newaxis], moved, latents)
    return latents

  return move


def _checksum(folder):
  return files.checksum(os.path.join(folder, storage.WEIGHTS))


def _load(folder, checksum):
  if _checksum(folder) != checksum:
    raise ValueError(
      f"{os.path.join(folder, storage.WEIGHTS)} is damaged: its checksum is "
      "not the manifest's. Learn the constraint again."
    )
  return storage.load(folder)
