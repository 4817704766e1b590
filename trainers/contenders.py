"""What a run can be evaluated on: every system whose stages are finished."""

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Sequence

import tensorflow as tf

from lc_keras import latents
from lc_keras.evaluation import systems
from lc_keras.models import storage
from lc_keras.samplers import actor
from lc_keras.samplers import energy
from lc_keras.samplers import flow
from lc_keras.samplers import gradient_search
from lc_keras.samplers import importance
from lc_keras.samplers import linear
from lc_keras.samplers import rejection
from lc_keras.samplers import sampler
from trainers import latents as latents_job
from trainers import runs

# Its critic says what is realistic, for every sampler alike.
_JUDGE = "actor_0.1"
# Stages that do not look at labels.
_UNLABELLED = ("vae", "latents", "realism")
_WEIGHT = re.compile(r"[0-9.]+(e[+-]?[0-9]+)?")
_CANDIDATES = 64


class Dial:
  """What turns a system's changes up and down.

  Attributes:
    name: In the report.
    default: Where it stands for all but a curve.
    settings: Where it stands for a curve.
    variable: Where it stands. A variable, so that a system that has been
      compiled can be turned.
  """

  def __init__(self, name: str, default: float, settings: Sequence[float]):
    """Creates the dial at its default."""
    self.name = name
    self.default = default
    self.settings = settings
    self.variable = tf.Variable(default, trainable=False)


@dataclasses.dataclass(frozen=True)
class Contender:
  """A system of a run.

  Attributes:
    name: In results, in file names and on the command line.
    title: In tables.
    stages: What it is made of.
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
  shared = ("vae", "latents", "attributes")
  # The published actors first, the smallest lambda first; then ablations.
  actors = sorted(filter(parts.has, _actors(run)), key=_place)
  found = [
    Contender(
      "prior", "Prior samples", ("vae",), lambda: systems.prior(parts.vae)
    )
  ]
  for name in actors:
    strength = Dial("strength", 1.0, (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5))
    found.append(
      Contender(
        name,
        _actor_title(name),
        (*shared, name),
        functools.partial(parts.actor, name, strength),
        dial=strength,
      )
    )
  if actors:
    judge = _JUDGE if _JUDGE in actors else actors[0]
    parts.judge = judge
    needed = (*shared, judge)
    found += [
      Contender(
        "gradient_search",
        "Gradient search",
        needed,
        lambda: parts.latent(gradient_search.GradientSearch(parts.judges)),
        slow=True,
      ),
      Contender(
        "energy_ode",
        "Energy, ODE",
        needed,
        lambda: parts.latent(energy.EnergySampler(parts.judges, "ode")),
        slow=True,
      ),
      Contender(
        "energy_langevin",
        "Energy, Langevin",
        needed,
        lambda: parts.latent(energy.EnergySampler(parts.judges, "langevin")),
        slow=True,
      ),
      Contender(
        "best_of_n",
        f"Best of {_CANDIDATES}",
        needed,
        lambda: parts.latent(rejection.BestOfN(parts.judges, _CANDIDATES)),
      ),
    ]
    if parts.has("realism"):
      found.append(
        Contender(
          "importance",
          "Importance resampling",
          (*shared, "realism"),
          lambda: parts.latent(
            importance.ImportanceResampling(
              parts.judges, parts.load("realism"), _CANDIDATES
            )
          ),
        )
      )
    if parts.has("flow"):
      guidance = Dial("guidance", 2.0, (1.0, 1.5, 2.0, 3.0, 4.0))
      found.append(
        Contender(
          "flow",
          "Flow",
          (*shared, "flow"),
          functools.partial(parts.flow, guidance),
          dial=guidance,
        )
      )
    if parts.has("linear"):
      margin = Dial("margin", 3.0, (0.0, 1.0, 2.0, 3.0, 5.0, 8.0))
      found.append(
        Contender(
          "linear",
          "Linear direction",
          (*shared, "linear"),
          functools.partial(parts.linear, margin),
          dial=margin,
        )
      )
  if parts.has("conditional_vae"):
    found.append(
      Contender(
        "conditional_vae",
        "Conditional VAE",
        ("conditional_vae",),
        lambda: systems.conditional_vae(
          parts.load("conditional_vae"),
          run.attributes,
          parts.train_labels,
          parts.load("classifier"),
        ),
      )
    )
  if parts.has("conditional_gan"):
    found.append(
      Contender(
        "conditional_gan",
        "Conditional GAN",
        ("conditional_gan",),
        lambda: systems.conditional_gan(
          parts.load("conditional_gan"), run.attributes, parts.train_labels
        ),
      )
    )
  return found


class _Parts:
  """The models of a run, each loaded when it is first needed."""

  def __init__(self, run: runs.Run):
    self._run = run
    self.judge = _JUDGE
    self.load = functools.cache(lambda stage: storage.load(run.path(stage)))

  def has(self, stage: str) -> bool:
    """Whether a stage is finished."""
    return self._run.done(stage) is not None

  @property
  def vae(self):
    return self.load("vae")

  @functools.cached_property
  def train_labels(self):
    cache = self._run.path("latents", "cache")
    source = latents_job.source(self._run)
    return latents.read(cache, "train", source).attributes

  @functools.cached_property
  def judges(self) -> sampler.Judges:
    manifest = latents.read_manifest(
      self._run.path("latents", "cache"), latents_job.source(self._run)
    )
    return sampler.Judges(
      self._run.attributes,
      self.load(self.judge).critic,
      self.load("attributes").critic,
      tf.constant(manifest["posterior_scale"], tf.float32),
    )

  def latent(self, method: sampler.Sampler) -> systems.System:
    """Returns a sampler between this run's encoder and decoder."""
    return systems.latent(self.vae, method)

  def actor(self, name: str, strength: Dial) -> systems.System:
    """Returns an actor with a dial."""
    network = self.load(name).actor
    return self.latent(
      actor.ActorSampler(self.judges, network, strength.variable)
    )

  def flow(self, guidance: Dial) -> systems.System:
    """Returns the flow with a dial."""
    model = self.load("flow")
    return self.latent(
      flow.FlowSampler(self.judges, model, guidance=guidance.variable)
    )

  def linear(self, margin: Dial) -> systems.System:
    """Returns the linear directions with a dial."""
    model = self.load("linear")
    return self.latent(
      linear.LinearDirection(self.judges, model, margin.variable)
    )


def _actors(run: runs.Run) -> list[str]:
  return [name for name in os.listdir(run.folder) if name.startswith("actor_")]


def _place(name: str) -> tuple[float, str]:
  """Returns by what actors are sorted."""
  tail = name.removeprefix("actor_")
  weight = float(tail) if _WEIGHT.fullmatch(tail) else float("inf")
  return weight, name


def _actor_title(name: str) -> str:
  tail = name.removeprefix("actor_")
  if _WEIGHT.fullmatch(tail):
    return f"Actor, λ = {tail}"
  return f"Actor, {tail.replace('_', ' ')}"
