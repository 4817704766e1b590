"""Trains an actor and its critic on cached latents.

    python -m trainers.actor --flagfile=configs/toon_faces/actor.cfg \
        --run_dir=runs/mine --distance_weight=0.1

The stage is called actor_<distance_weight> unless --stage says otherwise, so
that a run can hold several.
"""

import re

import numpy as np
from absl import flags

from lc_keras import recipes
from trainers import jobs
from trainers import messages

_SHOWN = 8


def define_more(values: flags.FlagValues) -> None:
  """Defines the flags besides the recipe's."""
  flags.DEFINE_string(
    "stage",
    None,
    "Folder of this actor in the run, such as actor_no_penalty; by default "
    "actor_<distance_weight>.",
    flag_values=values,
  )
  flags.register_validator(
    "stage",
    lambda name: name is None or re.fullmatch(r"actor_[\w.+-]+", name),
    "--stage must begin with actor_, followed by letters, digits and any of "
    "_.+-",
    flag_values=values,
  )


def prepare(recipe: recipes.Actor, run):
  """Returns the flow's samples and edits, for the actor to imitate."""
  if not recipe.imitation_weight:
    return {}
  from lc_keras import progress
  from lc_keras.samplers import lessons

  messages.info(
    f"The flow makes {recipe.lessons} samples and as many edits, for the actor "
    "to imitate"
  )
  # The training loads its models again, on its own devices; the latents, which
  # are most of the memory, are opened once.
  teacher = run.read_parts()
  teacher.latents = run.parts.latents
  shown = progress.Progress(verbose=True)
  return {"lessons": lessons.of_flow(teacher, recipe, shown)}


def begin(recipe: recipes.Actor, run, lessons=None):
  """Returns the training."""
  from lc_keras.models import actor_critic

  return actor_critic.training(recipe, run.parts, lessons=lessons)


def draw(model, run):
  """Draws samples with each attribute on, and images with each one switched."""
  import tensorflow as tf

  from lc_keras import plotting

  attributes, held_out = run.attributes, run.parts.labelled("validation")
  generator = run.parts.generator

  def decode(rows):
    images = [generator.decode(latents).mean().numpy() for latents in rows]
    return plotting.picture_rows(images, getattr(generator, "plot", None))

  count = min(_SHOWN, len(held_out))
  shape = [count, model.latent_size]
  prior = np.array(tf.random.stateless_normal(shape, (0, 0)))
  real, own = held_out.mean[:count], held_out.attributes[:count]
  start, everything = model.starts(prior), np.ones_like(own)
  samples, edits = [prior], [real]
  for column, name in enumerate(attributes.names):
    on, about = attributes.request(own, name, True)
    # A sample constrains this attribute only, an edit keeps all others.
    samples.append(model.actor(start, on, everything * about))
    off, _ = attributes.request(own, name, False)
    switched = np.where(own[:, [column]] > 0.5, off, on)
    edits.append(model.actor(real, switched, everything))
  return {
    "samples": plotting.grid(
      decode(samples), row_labels=["prior", *attributes.names]
    ),
    "edits": plotting.grid(
      decode(edits).swapaxes(0, 1),
      column_labels=["reconstruction", *attributes.names],
    ),
  }


def stage(settings: flags.FlagValues) -> str:
  """Returns the name of the actor's folder in the run."""
  return settings.stage or f"actor_{settings.distance_weight:g}"


JOB = jobs.Job("actor", recipes.Actor, begin, draw, prepare, define_more, stage)
define_flags, run_job, main = JOB.define_flags, JOB.run_job, JOB.main

if __name__ == "__main__":
  main()
