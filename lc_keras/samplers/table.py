"""The table of samplers, from which all programs and reports take them.

A new sampler is a file in this folder and an entry here.

>>> from lc_keras.samplers import table
>>> table.SAMPLERS["flow"].title
'Flow'
"""

import dataclasses
from collections.abc import Callable, Sequence

from lc_keras.samplers import actor
from lc_keras.samplers import energy
from lc_keras.samplers import flow
from lc_keras.samplers import gradient_search
from lc_keras.samplers import importance
from lc_keras.samplers import linear
from lc_keras.samplers import open_requests
from lc_keras.samplers import rejection
from lc_keras.samplers import sampler
from lc_keras.samplers import scaled

_CANDIDATES = 64
# As in the paper's scripts; at 1, edits keep nothing.
_TEMPERATURE = 0.005


@dataclasses.dataclass(frozen=True)
class Dial:
  """A number that sets the strength of a sampler's edits.

  Attributes:
    name: Its name in reports, and as a keyword argument of `Entry.build`.
    default: Its default value.
    settings: Its values along a curve in reports.
  """

  name: str
  default: float
  settings: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Entry:
  """A sampler in the table.

  Attributes:
    title: Name in reports.
    build: Maps (parts, judges) to the sampler, see `parts.Parts`; it takes the
      dial's name as a keyword argument.
    needs: Names of the models that it is built from, beside the generator and
      the attribute critic.
    dial: The number that sets the strength of its edits, if there is one.
    is_trained: Whether it knows only the attributes that its models were
      trained on; a search adds constraints that were learned afterwards.
    is_slow: Whether it takes hundreds of steps per row.
    is_exported: Whether exports have signatures `sample_<name>` and
      `transform_<name>` for it.
  """

  title: str
  build: Callable[..., sampler.Sampler]
  needs: tuple[str, ...] = ()
  dial: Dial | None = None
  is_trained: bool = False
  is_slow: bool = False
  is_exported: bool = False


def actor_entry(model: str, title: str = "Actor") -> Entry:
  """Returns the entry of an actor; a run may have several.

  Args:
    model: Name of the model, such as "actor_0.1".
    title: Name in reports.
  """

  def build(parts, judges, strength=None):
    trained = parts.models[model]
    sampled = actor.ActorSampler(judges, trained.actor, trained.starts)
    if strength is not None:
      return scaled.Scaled(sampled, strength)
    return open_requests.OpenRequests(sampled, parts.build_teacher(judges))

  strengths = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
  return Entry(
    title, build, (model,), Dial("strength", 1.0, strengths), is_trained=True
  )


SAMPLERS = {
  "actor": actor_entry("actor_0.1"),
  "search": Entry(
    "Gradient search",
    lambda parts, judges: parts.build_search(judges),
    is_slow=True,
    is_exported=True,
  ),
  "search_actor": Entry(
    "Actor of the search",
    lambda parts, judges: actor.SearchActorSampler(
      judges, parts.models["search_actor"], rejection.BestOfN(judges)
    ),
    ("search_actor",),
    is_trained=True,
    is_exported=True,
  ),
  "search_published": Entry(
    "Gradient search, published",
    lambda parts, judges: gradient_search.GradientSearch(judges),
    is_slow=True,
  ),
  "energy": Entry(
    "Energy, ODE",
    lambda parts, judges: energy.EnergySampler(judges),
    is_slow=True,
    is_exported=True,
  ),
  "energy_langevin": Entry(
    "Energy, Langevin",
    lambda parts, judges: energy.EnergySampler(
      judges, "langevin", temperature=_TEMPERATURE
    ),
    is_slow=True,
  ),
  "best_of_n": Entry(
    f"Best of {_CANDIDATES}",
    lambda parts, judges: rejection.BestOfN(judges, _CANDIDATES),
    is_exported=True,
  ),
  "importance": Entry(
    "Importance resampling",
    lambda parts, judges: importance.ImportanceResampling(
      judges, parts.models["realism"], _CANDIDATES
    ),
    ("realism",),
    is_exported=True,
  ),
  "flow": Entry(
    "Flow",
    lambda parts, judges, **dial: flow.FlowSampler(
      judges, parts.models["flow"], **dial
    ),
    ("flow",),
    Dial("edit_guidance", flow.EDIT_GUIDANCE, (1, 1.25, 1.5, 1.75, 2, 3)),
    is_trained=True,
    is_exported=True,
  ),
  "linear": Entry(
    "Linear direction",
    lambda parts, judges, **dial: linear.LinearDirection(
      judges, parts.models["linear"], **dial
    ),
    ("linear",),
    Dial("margin", linear.MARGIN, (0, 1, 2, 3, 5, 8)),
    is_trained=True,
    is_exported=True,
  ),
}
