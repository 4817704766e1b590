"""Trains an actor and its critic on cached latents.

    python -m trainers.actor --flagfile=configs/toon_faces/actor.cfg \
        --run_dir=runs/mine --distance_weight=0.1

The stage is called actor_<distance_weight> unless --stage says otherwise, so
that a run can hold several.
"""

import functools
import re

import numpy as np
import tqdm
from absl import flags
from etils import epy

from trainers import common_flags
from trainers import latents as latents_job
from trainers import runs

with epy.lazy_imports():
  import keras
  import tensorflow as tf

  from lc_keras import plotting
  from lc_keras.data import latent_batches
  from lc_keras.data import latent_cache
  from lc_keras.generators import generator
  from lc_keras.models import actor_critic
  from lc_keras.models import actor_critic_recipe
  from lc_keras.models import adam
  from lc_keras.models import storage
  from lc_keras.samplers import flow
  from lc_keras.samplers import lessons
  from lc_keras.samplers import sampler
  from trainers import training

_SHOWN = 8
_VALIDATION_LESSONS = 1000
# Half of the sampler's own: more lessons are worth more than better ones.
_TEACHER_STEPS = 4


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_training_flags(
    values, steps=20_000, batch_size=128, learning_rate=1e-4
  )
  common_flags.define_latent_training_flags(values)
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
  flags.DEFINE_float(
    "distance_weight",
    0.1,
    "lambda_dist, weight of the distance moved: 0 samples freely, 0.1 keeps "
    "identity.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    "attribute_weight",
    0.0,
    "Weight of what the attribute critic reads in the actor's latents; 0 is "
    "the published recipe.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    "attribute_noise",
    0.0,
    "Noise on the latents that the attribute critic reads, in units of "
    "sigma_bar: what is asked for must then hold with some margin.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_bool(
    "match_moments",
    True,
    "Whether prior samples are given mean and covariance of the encoded images "
    "before the actor moves them, as they always are with a teacher; the "
    "published recipe does not.",
    flag_values=values,
  )
  flags.DEFINE_float(
    "teacher_weight",
    0.0,
    "Weight of the squared distance, per dimension, to what the run's flow "
    "makes of the same request; 0 is the published recipe, and needs no flow.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "lessons",
    40_000,
    "With a teacher: how many samples, and how many edits, it makes to be "
    "imitated.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_float(
    "beta_1",
    0.0,
    "Momentum of the actor's Adam; the critic's is 0, as both are published.",
    lower_bound=0.0,
    upper_bound=1.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    "beta_2",
    0.9,
    "How long the actor's Adam remembers slopes; the critic's is 0.9.",
    lower_bound=0.0,
    upper_bound=1.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    "realism_weight",
    1.0,
    "Weight of the critic's judgement in the actor's loss.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    "real_weight",
    1.0,
    "Weight of requests on encoded images against requests on prior samples; "
    "0 trains a sampler only.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    "penalty_weight",
    10.0,
    "Weight of the critic's gradient penalty.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "critic_steps",
    10,
    "Updates of the critic to one of the actor; a step is one such round.",
    lower_bound=1,
    upper_bound=100,  # Unrolled, and each has its own streams of noise.
    flag_values=values,
  )
  flags.DEFINE_float(
    "prior_fraction",
    0.1,
    "Share of the critic's fakes that are raw prior samples.",
    lower_bound=0.0,
    upper_bound=1.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    "wrong_weight",
    1.0,
    "Weight of real rows with wrong labels in the critic's loss; 0 leaves them "
    "out.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    "switched_fraction",
    0.75,
    "Share of wrong labels that are a row's own with one attribute switched; "
    "the others are another row's, as published.",
    lower_bound=0.0,
    upper_bound=1.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    "masked_fraction",
    0.5,
    "Share of requests in training that leave some attributes open; 0 always "
    "asks for all, as published.",
    lower_bound=0.0,
    upper_bound=1.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    "average_decay",
    0.999,
    "Decay, per update, of the moving average of the actor's weights.",
    lower_bound=0.0,
    upper_bound=1.0,
    flag_values=values,
  )


def train(settings: flags.FlagValues) -> None:
  """Trains one actor of a run, or goes on training it."""
  run = runs.open_run(settings)
  name = settings.stage or f"actor_{settings.distance_weight:g}"
  stage = runs.Stage(run, name, settings)
  if stage.done:
    return
  cache, source = run.path("latents", "cache"), latents_job.source(run)
  rows = latent_cache.read(cache, "train", source)
  held_out = latent_cache.read(cache, "validation", source)
  scale = latent_cache.read_manifest(cache)["posterior_scale"]
  posterior_scale = np.asarray(scale, np.float32)
  keras.utils.set_random_seed(settings.seed)
  # Before anything starts TensorFlow.
  with training.strategy(settings.replicas).scope():
    decoder = generator.load(run.folder)
    attribute_critic = storage.load(run.path("attributes")).critic
    model, teacher = _begin(run, decoder.latent_size, rows, settings)
    model.compile(
      adam.Adam(training.schedule(settings), settings.beta_1, settings.beta_2),
      adam.Adam(training.schedule(settings, settings.critic_steps), 0.0, 0.9),
      actor_critic_recipe.Recipe(
        posterior_scale=posterior_scale,
        excludes=run.attributes.excludes,
        read_attributes=attribute_critic,
        teacher_weight=settings.teacher_weight,
        realism_weight=settings.realism_weight,
        distance_weight=settings.distance_weight,
        attribute_weight=settings.attribute_weight,
        attribute_noise=settings.attribute_noise,
        real_weight=settings.real_weight,
        penalty_weight=settings.penalty_weight,
        prior_fraction=settings.prior_fraction,
        wrong_weight=settings.wrong_weight,
        switched_fraction=settings.switched_fraction,
        masked_fraction=settings.masked_fraction,
      ),
      average_decay=settings.average_decay,
      jit_compile=False,
    )

  def batches(step):
    return latent_batches.at_random(
      rows,
      settings.batch_size,
      turns=settings.critic_steps + 1,
      balanced_fraction=settings.balanced_fraction,
      seed=settings.seed,
      start_step=step,
    )

  validation = latent_batches.in_order(held_out, settings.batch_size)
  monitor = "val_attribute_loss"
  if teacher:
    judges = sampler.Judges(
      run.attributes, model.critic, attribute_critic, posterior_scale
    )
    teaching = flow.FlowSampler(judges, teacher, steps=_TEACHER_STEPS)
    learnt, examined = (
      _lessons(teaching, some, count, settings)
      for some, count in (
        (rows, settings.lessons),
        (held_out, min(settings.lessons, _VALIDATION_LESSONS)),
      )
    )
    alone = batches

    def batches(step):
      return lessons.beside(
        alone(step),
        learnt,
        settings.batch_size,
        seed=settings.seed,
        start_step=step,
      )

    validation = lessons.beside(validation, examined, settings.batch_size)
    monitor = "val_imitation_loss"
  training.fit(
    stage,
    model,
    settings,
    training=batches,
    validation=validation,
    monitor=monitor,
    draw=lambda: _draw(decoder, model, run.attributes, held_out),
  )


def _begin(run, latent_size, rows, settings):
  """Returns an untrained model, and the flow that teaches it, if one does."""
  sizes = (latent_size, len(run.attributes), settings.width, settings.depth)
  if settings.teacher_weight:
    teacher = storage.load(run.path("flow"))
    known = teacher.arguments
    model = actor_critic.ActorCritic(
      *sizes, flow_sizes=(known["width"], known["depth"])
    )
    model.imitate(teacher)
    return model, teacher
  model = actor_critic.ActorCritic(*sizes)
  if settings.match_moments:
    model.whitening.adapt(rows)
  return model, None


def _lessons(teacher, rows, count, settings):
  """Has the teacher make samples and edits; says so, since it takes a while."""
  runs.say(f"The flow makes {count} samples and as many edits, to be imitated")
  return lessons.make(
    teacher,
    rows,
    count,
    open_fraction=settings.masked_fraction,
    balanced_fraction=settings.balanced_fraction,
    seed=settings.seed,
    progress=functools.partial(tqdm.tqdm, desc="lessons", mininterval=5.0),
  )


def _draw(decoder, model, attributes, held_out):
  """Draws samples under every attribute, and every edit of some images."""
  count = min(_SHOWN, len(held_out))
  prior = np.array(
    tf.random.stateless_normal([count, decoder.latent_size], (0, 0))
  )
  real, own = held_out.mean[:count], held_out.attributes[:count]
  start, everything = model.begin(prior), np.ones_like(own)
  samples, edits = [decoder.decode(prior).mean()], [decoder.decode(real).mean()]
  for column, name in enumerate(attributes.names):
    wanted, asked = attributes.request(own, name, True)
    # A sample is asked for this attribute only, an edit to keep all others.
    moved = model.actor(start, wanted, everything * asked)
    samples.append(decoder.decode(moved).mean())
    on = own[:, [column]] > 0.5
    off, _ = attributes.request(own, name, False)
    switched = np.where(on, off, wanted)
    edits.append(decoder.decode(model.actor(real, switched, everything)).mean())
  return {
    "samples": plotting.grid(
      np.stack(samples), row_labels=["prior", *attributes.names]
    ),
    "edits": plotting.grid(
      np.stack(edits, axis=1),
      column_labels=["reconstruction", *attributes.names],
    ),
  }


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, train)


if __name__ == "__main__":
  main()
