"""What a run can be evaluated on: every system whose stages are finished."""

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from lc_keras import parts as parts_lib
from lc_keras.evaluation import systems
from lc_keras.generators import generator
from lc_keras.samplers import energy
from lc_keras.samplers import flow
from lc_keras.samplers import gradient_search
from lc_keras.samplers import importance
from lc_keras.samplers import linear
from lc_keras.samplers import rejection
from lc_keras.samplers import sampler
from lc_keras.samplers import scaled
from lc_keras.samplers import table
from trainers import runs

# Its critic says what is realistic, for every sampler alike.
_JUDGE = "actor_0.1"
# Stages that do not look at labels.
_UNLABELLED = (*generator.STAGES, "latents", "realism")
_CANDIDATES = 64
_TEMPERATURE = 0.005
_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
_GUIDANCES = (1.0, 1.25, 1.5, 1.75, 2.0, 3.0)
_MARGINS = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0)


class Dial:
  """What turns a system's changes up and down.

  Attributes:
    name: In the report; an argument of the sampler's constructor.
    default: Where it stands for all but a curve: the constructor's default.
    settings: Where it stands for a curve.
    variable: Where it stands. A variable, so that a system that has been
      compiled can be turned.
  """

  def __init__(
    self, of: type[sampler.Sampler], name: str, settings: Sequence[float]
  ):
    """Creates a sampler's dial, at its default."""
    self.name = name
    default = inspect.signature(of).parameters[name].default
    self.default = 1.0 if default is inspect.Parameter.empty else default
    self.settings = settings
    self.variable = tf.Variable(self.default, trainable=False)


@dataclasses.dataclass(frozen=True)
class Contender:
  """A system of a run.

  Attributes:
    name: In results, in file names and on the command line.
    title: In tables.
    stages: What it is made of; all must be finished.
    build: Makes the system.
    dial: What turns it up and down, if anything does.
    slow: Whether it takes some hundred steps a row.
  """

  name: str
  title: str
  stages: Sequence[str]
  build: Callable[[], systems.System]
  dial: Dial | None = None
  slow: bool = False

  def labelled_stages(self) -> list[str]:
    """Returns what has to be trained again for one more attribute."""
    return [stage for stage in self.stages if stage not in _UNLABELLED]


def find(run: runs.Run) -> list[Contender]:
  """Returns what can be evaluated, in the order of the report's tables."""
  parts = _Parts(run)
  actors = [_actor(parts, name) for name in _actors(run)]
  contenders = [
    Contender(
      "prior",
      "Prior samples",
      (parts.stage,),
      lambda: systems.prior(parts.whole.generator),
    ),
    *actors,
    # Without an actor there is no critic that could judge a sampler.
    *(_samplers(parts) if actors else ()),
    *_baselines(parts),
  ]
  return [
    contender
    for contender in contenders
    if all(map(run.done, contender.stages))
  ]


def _actors(run):
  """Returns the finished actors: published ones by lambda, then ablations."""
  names = [name for name in os.listdir(run.folder) if name.startswith("actor_")]
  return sorted(
    filter(run.done, names),
    key=lambda name: (_weight(name) is None, _weight(name) or 0.0, name),
  )


def _weight(actor_name):
  """Returns lambda, if an actor is named after it."""
  try:
    return float(actor_name.removeprefix("actor_"))
  except ValueError:
    return None


def _actor(parts, name):
  variant = name.removeprefix("actor_").replace("_", " ")
  strength = Dial(scaled.Scaled, "strength", _STRENGTHS)
  return Contender(
    name,
    f"Actor, {variant}"
    if _weight(name) is None
    else f"Actor, lambda {variant}",
    (*parts.latent_stages, name),
    lambda: parts.latent(
      lambda judges: table.actor_entry(name).build(
        parts.whole, judges, strength=strength.variable
      )
    ),
    strength,
  )


def _samplers(parts):
  """Lists what works in latent space and is no actor."""
  searching = (*parts.latent_stages, parts.judge)
  guidance = Dial(flow.FlowSampler, "edit_guidance", _GUIDANCES)
  margin = Dial(linear.LinearDirection, "margin", _MARGINS)
  return [
    Contender(
      "gradient_search",
      "Gradient search",
      searching,
      lambda: parts.latent(parts.search),
      slow=True,
    ),
    Contender(
      "gradient_search_published",
      "Gradient search, published",
      searching,
      lambda: parts.latent(gradient_search.GradientSearch),
      slow=True,
    ),
    Contender(
      "energy_ode",
      "Energy, ODE",
      searching,
      lambda: parts.latent(energy.EnergySampler, "ode"),
      slow=True,
    ),
    Contender(
      "energy_langevin",
      "Energy, Langevin",
      searching,
      # As the paper's scripts have it; at 1, edits keep nothing.
      lambda: parts.latent(
        energy.EnergySampler, "langevin", temperature=_TEMPERATURE
      ),
      slow=True,
    ),
    Contender(
      "best_of_n",
      f"Best of {_CANDIDATES}",
      searching,
      lambda: parts.latent(rejection.BestOfN, _CANDIDATES),
    ),
    Contender(
      "importance",
      "Importance resampling",
      (*parts.latent_stages, "realism"),
      lambda: parts.latent(
        importance.ImportanceResampling, parts.load("realism"), _CANDIDATES
      ),
    ),
    Contender(
      "flow",
      "Flow",
      (*parts.latent_stages, "flow"),
      lambda: parts.latent(
        flow.FlowSampler, parts.load("flow"), edit_guidance=guidance.variable
      ),
      guidance,
    ),
    Contender(
      "linear",
      "Linear direction",
      (*parts.latent_stages, "linear"),
      lambda: parts.latent(
        linear.LinearDirection, parts.load("linear"), margin.variable
      ),
      margin,
    ),
  ]


def _baselines(parts):
  """Lists what is trained from scratch with its attributes."""
  return [
    Contender(
      "conditional_vae",
      "Conditional VAE",
      ("conditional_vae",),
      lambda: systems.conditional_vae(
        parts.load("conditional_vae"),
        parts.attributes,
        parts.train_labels,
        parts.load("classifier"),
      ),
    ),
    Contender(
      "conditional_gan",
      "Conditional GAN",
      ("conditional_gan",),
      lambda: systems.conditional_gan(
        parts.load("conditional_gan"), parts.attributes, parts.train_labels
      ),
    ),
  ]


class _Parts:
  """What systems are made of, each loaded when it is first needed."""

  def __init__(self, run: runs.Run):
    self._run = run
    self.attributes = run.attributes

  @functools.cached_property
  def whole(self) -> parts_lib.Parts:
    """All that the run has trained."""
    return parts_lib.read(self._run.folder)

  def load(self, stage: str):
    """Returns the model of a stage."""
    return self.whole.models[stage]

  @functools.cached_property
  def stage(self) -> str:
    """Where the generative model is; any place, if there is none."""
    done = filter(self._run.done, generator.STAGES)
    return next(done, generator.STAGES[0])

  @property
  def latent_stages(self) -> tuple[str, ...]:
    """What every sampler in latent space rests on."""
    return self.stage, "latents", "attributes"

  @property
  def train_labels(self) -> np.ndarray:
    """[n, num_attributes], of the training split."""
    return self.whole.latents["train"].attributes

  @property
  def judge(self) -> str:
    """The actor whose critic judges every sampler."""
    return _JUDGE if self._run.done(_JUDGE) else _actors(self._run)[0]

  @functools.cached_property
  def judges(self) -> sampler.Judges:
    """Who judges every sampler."""
    return self.whole.own_judges(self.judge)

  def latent(
    self, of: Callable[..., sampler.Sampler], *arguments, **options
  ) -> systems.System:
    """Returns a sampler between the encoder and the decoder."""
    return systems.latent(
      self.whole.generator, of(self.judges, *arguments, **options)
    )

  def search(self, judges: sampler.Judges) -> gradient_search.GradientSearch:
    """Returns the search to use; its samples begin as the flow's."""
    return self.whole.search(judges)
