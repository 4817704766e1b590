"""The protocol: the figures of a system, on held-out images.

Engel et al. 2018, Table 1 (attributes read from samples), and what they did
not measure: realism, diversity, identity, drift, steps and time.

  protocol = Protocol(attributes, judge.Judge(classifier), train_labels,
                      Split(images, labels), references=other_images)
  results = protocol.references(systems.prior(generator))
  results["flow"] = {"title": "Flow", **protocol.measure(system)}

`report.write` shows such results.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence

import numpy as np

from lc_keras import batched
from lc_keras.constraints import attributes as attributes_module
from lc_keras.evaluation import combinations
from lc_keras.evaluation import diversity
from lc_keras.evaluation import fidelity
from lc_keras.evaluation import intervals
from lc_keras.evaluation import judge as judge_module
from lc_keras.evaluation import scores
from lc_keras.evaluation import systems
from lc_keras.evaluation import transformations

_LISTED = 8  # Failures of a system's samples.
# Streams of seeds: no two splits share their draws.
_NATURAL, _BALANCED, _UNSEEN = range(3)


@dataclasses.dataclass(frozen=True)
class Split:
  """Rows of held-out data.

  Attributes:
    images: float32 [n, height, width, channels] in [0, 1]; None for labels
      without images.
    labels: float32 [n, num_attributes] in {0, 1}.
    focus: None; or [n], the attribute that each row was drawn for, see
      `scores.attribute_scores`.
    truth: The labels that images are scored against: None for `labels`; or
      these with NaN where unknown.
  """

  images: np.ndarray | None
  labels: np.ndarray
  focus: np.ndarray | None = None
  truth: np.ndarray | None = None

  @classmethod
  def read(
    cls,
    images: np.ndarray,
    labels: np.ndarray,
    judge: judge_module.Judge,
    focus: np.ndarray | None = None,
  ) -> "Split":
    """Returns a split from labels in [0, 1], of which some may be NaN.

    Labels above 0.5 are on. For an unknown label, NaN, requests take the
    judge's reading, and nothing is scored.
    """
    truth = np.where(np.isnan(labels), np.nan, labels > 0.5)
    unknown = np.isnan(truth)
    if not unknown.any():
      return cls(images, truth.astype(np.float32), focus)
    rows, complete = unknown.any(axis=1), truth.copy()
    read = judge.probabilities(images[rows]) > 0.5
    complete[rows] = np.where(unknown[rows], read, truth[rows])
    return cls(images, complete.astype(np.float32), focus, truth)

  def __len__(self) -> int:
    return len(self.labels)

  @property
  def known(self) -> np.ndarray:
    """float32 [n, num_attributes], labels, or NaN where unknown."""
    return self.labels if self.truth is None else self.truth


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Numbers of rows to measure.

  Attributes:
    unseen: Samples of combinations of attributes that do not occur in training.
    edits: Images to switch each attribute in, for each direction.
    curve_edits: The same, for each point of a curve.
    sequences: Images that are edited several times in sequence.
    sequence_edits: Edits of each of them, before these are taken back.
  """

  unseen: int = 512
  edits: int = 64
  curve_edits: int = 8
  sequences: int = 64
  sequence_edits: int = 4


class Protocol:
  """Measures systems on the same held-out images, with the same requests."""

  def __init__(
    self,
    attributes: attributes_module.Attributes,
    judge: judge_module.Judge,
    train_labels: np.ndarray,
    natural: Split,
    balanced: Split | None = None,
    *,
    references: np.ndarray,
    sizes: Sizes = Sizes(),
    threshold: float = 0.5,
    seed: int = 0,
  ):
    """Creates the protocol; reads the held-out images.

    Args:
      attributes: The attributes.
      judge: Reads images.
      train_labels: [m, num_attributes] in {0, 1}.
      natural: Held-out images in their natural frequencies.
      balanced: Held-out images in which rare attributes are frequent.
      references: float32 [m, height, width, channels], the real images that
        realism is measured against; not those of `natural`, or reconstructions
        would be compared with their own originals.
      sizes: Numbers of rows to measure.
      threshold: A probability above it reads as "on".
      seed: Seed of every draw.
    """
    self.attributes = attributes
    self.judge = judge
    self.natural = natural
    self.balanced = balanced
    labels = combinations.unseen(train_labels, attributes, sizes.unseen, seed)
    self.unseen = None if labels is None else Split(None, labels)
    self.threshold = threshold
    self._train_labels = train_labels
    self._sizes = sizes
    self._seed = seed
    self._real_features = judge.features(natural.images)
    self._reference_features = judge.features(references)

  def references(self, unchanged: systems.System) -> dict[str, dict]:
    """Returns reference figures, to compare those of systems with.

    Args:
      unchanged: The generative model without constraints, see `systems.prior`.

    Returns:
      "majority", the answer that is right most often; "real", the held-out
      images; and "reconstruction", the same encoded and decoded; each with a
      "title".
    """
    images = [split and split.images for split in (self.natural, self.balanced)]
    majority = scores.majority_scores(
      self._train_labels, self.natural.known, self.attributes.names
    )
    references = {
      "majority": {"title": "Majority class", "natural": majority},
      "real": {"title": "Real images", **self._shown(*images)},
    }
    if unchanged.reconstructs:
      rebuilt = (
        None if split is None else self.reconstructed(unchanged, split)
        for split in images
      )
      references["reconstruction"] = {
        "title": "Reconstructions",
        **self._shown(*rebuilt),
      }
    return references

  def measure(
    self,
    system: systems.System,
    limit: int | None = None,
    dial: systems.Dial | None = None,
  ) -> dict:
    """Returns all figures of a system.

    Args:
      system: A system that samples, transforms, or both.
      limit: Most rows of each split to sample; all if not given.
      dial: None, or the system's dial, see `systems.Dial`.

    Returns:
      The figures of `samples`, if it samples; and, if it transforms,
      "transformations", "sequence" and "curve", see the methods.
    """
    result = {}
    if system.samples:
      result |= self.samples(system, limit)
    if system.transforms:
      result["transformations"] = self.edits(system)
      result["sequence"] = self.sequence(system)
      if dial is not None:
        result["curve"] = self.curve(system, dial)
    return result

  def samples(self, system: systems.System, limit: int | None = None) -> dict:
    """Returns the figures of a system's samples.

    Args:
      system: A system that samples.
      limit: Most rows of each split to make; all if not given.

    Returns:
      "natural", "balanced" and "unseen", see `scores`; "failures", the worst
      rows of the natural split; "fidelity"; "diversity"; and "cost", the
      milliseconds of a row and, of a sampler, its steps.
    """
    result = {}
    for stream, name, split in (
      (_NATURAL, "natural", self.natural),
      (_BALANCED, "balanced", self.balanced),
      (_UNSEEN, "unseen", self.unseen),
    ):
      if split is None:
        continue
      labels = split.labels[:limit]
      seeds = self._seeds(stream, len(labels))
      made = system.sample(labels, np.ones_like(labels), seeds)
      result[name] = self._scores(made.images, split)
      if name == "natural":
        result["failures"] = self._failures(made.images, labels)
        result["fidelity"] = self._fidelity(made.images)
        result["cost"] = _cost(made)
        result["diversity"] = self._diversity(made.images, labels)
    return result

  def edits(
    self, system: systems.System, rows: int | None = None, **options
  ) -> dict:
    """Returns the figures of edits that each switch one attribute.

    Args:
      system: A system that transforms.
      rows: Images per attribute and direction; by default `Sizes.edits`.
      **options: For `transformations.table`, whose result this returns, with
        the "milliseconds" of an edit.
    """
    costs = []

    def transform(images, values, mask):
      made = system.transform(images, values, mask, self.image_seeds(images))
      costs.append(made.measures.pop(batched.MILLISECONDS))
      return made

    table = transformations.table(
      self.natural.images,
      self.natural.labels,
      self.attributes,
      self.judge,
      lambda images: self.reconstructed(system, images),
      transform,
      rows=rows or self._sizes.edits,
      threshold=self.threshold,
      seed=self._seed,
      **options,
    )
    return table | {"milliseconds": _mean(np.concatenate(costs))}

  def curve(self, system: systems.System, dial: systems.Dial) -> dict:
    """Returns the success and the side effects of edits along a dial.

    Args:
      system: A system that transforms.
      dial: Its dial, see `systems.Dial`; at its default afterwards.

    Returns:
      "dial", its name; "default"; and "points", for each "setting" the shares
      of edits "read" and "others_changed", and the "feature_ratio".
    """
    points = []
    for setting in dial.settings:
      dial.variable.assign(setting)
      table = self.edits(
        system, self._sizes.curve_edits, failures=0, resamples=0
      )
      points.append(
        {
          "setting": float(setting),
          "read": table["mean_read"],
          "others_changed": table["mean_others_changed"],
          "feature_ratio": table["mean_feature_ratio"],
        }
      )
    dial.variable.assign(dial.default)
    return {"dial": dial.name, "default": dial.default, "points": points}

  def sequence(self, system: systems.System) -> list[dict]:
    """Edits images several times, then takes the edits back one by one.

    Each edit starts from the image that the last one made, as when users send
    images back, so that losses accumulate.

    Returns:
      For every state, the first included: "edits", the number of edits in
      force; "taken_back", the number taken back; "others_changed", the share of
      images in which an attribute without an edit in force reads otherwise than
      at first, with its "interval"; "feature_distance", the mean distance to
      the first state; "read", the share of images in which the values of the
      last edit are read. In the last state no edit is in force.
    """
    images = self.natural.images[: self._sizes.sequences]
    images = self.reconstructed(system, images)
    first, features = self.read(images), self.judge.features(images)
    states = [self._state(first, features, images, np.zeros_like(first), 0, 0)]
    order = np.random.default_rng(self._seed).permutation(len(self.attributes))
    order = order[: self._sizes.sequence_edits]
    forth = [
      self.switch(first, np.full(len(first), column)) for column in order
    ]
    back = [(first, mask) for _, mask in reversed(forth)]
    for done, (values, mask) in enumerate(forth + back, start=1):
      images = system.transform(
        images, values, mask, self.image_seeds(images)
      ).images
      taken_back = max(done - len(forth), 0)
      edits = done - 2 * taken_back
      touched = sum((mask for _, mask in forth[:edits]), np.zeros_like(first))
      state = self._state(first, features, images, touched, edits, taken_back)
      obeyed = (self.read(images) == values) | (mask == 0)
      states.append(state | {"read": float(obeyed.all(axis=1).mean())})
    return states

  def switch(
    self, own: np.ndarray, columns: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns values and mask of requests that switch one attribute each.

    Args:
      own: [n, num_attributes] in {0, 1}, the labels of the rows.
      columns: [n], the attribute that is switched in each.
    """
    values, mask = np.empty([2, *own.shape], np.float32)
    for column, on in itertools.product(
      range(len(self.attributes)), (True, False)
    ):
      rows = (columns == column) & ((own[:, column] < 0.5) == on)
      name = self.attributes.names[column]
      values[rows], mask[rows] = self.attributes.request(own[rows], name, on)
    return values, mask

  def again(self, system: systems.System, rows: Sequence[int]) -> np.ndarray:
    """Makes some samples for the labels of the natural split once more."""
    labels = self.natural.labels
    seeds = self._seeds(_NATURAL, len(labels))
    rows = np.asarray(rows)
    asked = labels[rows]
    return system.sample(asked, np.ones_like(asked), seeds[rows]).images

  def reconstructed(
    self, system: systems.System, images: np.ndarray
  ) -> np.ndarray:
    """Returns a system's reconstructions of images."""
    return system.reconstruct(images, self.image_seeds(images)).images

  def read(self, images: np.ndarray) -> np.ndarray:
    """Returns which attributes the judge reads, float32 in {0, 1}."""
    read = self.judge.probabilities(images) > self.threshold
    return read.astype(np.float32)

  def image_seeds(self, images: np.ndarray) -> np.ndarray:
    """Returns a seed for each image, made of its pixels.

    So an image is always encoded to the same latent vector: a
    transformation starts from the reconstruction that it is compared with.
    """
    salt = self._seed.to_bytes(8, "little")
    digests = [
      hashlib.blake2b(image.tobytes(), digest_size=8, salt=salt).digest()
      for image in np.ascontiguousarray(images)
    ]
    return np.frombuffer(b"".join(digests), np.int64)

  def _seeds(self, stream, count):
    generator = np.random.default_rng([self._seed, stream])
    return generator.integers(np.iinfo(np.int64).max, size=count)

  def _shown(self, natural, balanced):
    """Returns the figures of images that show the labels of the splits."""
    result = {
      "natural": self._scores(natural, self.natural, is_real=True),
      "fidelity": self._fidelity(natural),
    }
    if balanced is not None:
      result["balanced"] = self._scores(balanced, self.balanced, is_real=True)
    return result

  def _scores(self, images, split, is_real=False):
    """Scores images that should show the labels of the first rows."""
    count = len(images)
    labels = split.known if is_real else split.labels
    return scores.attribute_scores(
      self.judge.probabilities(images),
      labels[:count],
      self.attributes.names,
      self.threshold,
      None if split.focus is None else split.focus[:count],
      seed=self._seed,
    )

  def _fidelity(self, images):
    return fidelity.fidelity(
      self._reference_features, self.judge.features(images), seed=self._seed
    )

  def _diversity(self, images, labels):
    """Compares samples with real images of the same labels, if there are any.

    Two rows with the same labels are needed, which a small split may lack.
    """
    made = diversity.by_labels(self.judge.features(images), labels)
    real = diversity.by_labels(self._real_features, self.natural.labels)
    if not any(len(rows) > 1 for rows in made.values()):
      return None
    return diversity.diversity(made, real, seed=self._seed)

  def _failures(self, images, labels):
    """Lists the rows in which most attributes read otherwise than requested."""
    excess = self.read(images) - labels
    wrong = np.abs(excess).sum(axis=1)
    worst = np.argsort(-wrong, kind="stable")[:_LISTED]
    names = np.array(self.attributes.names)
    return [
      {
        "row": int(row),
        "missing": names[excess[row] < 0].tolist(),
        "excess": names[excess[row] > 0].tolist(),
      }
      for row in worst
      if wrong[row]
    ]

  def _state(self, first, features, images, touched, edits, taken_back):
    changed = (self.read(images) != first) & (touched == 0)
    others = changed.any(axis=1)
    distances = np.linalg.norm(self.judge.features(images) - features, axis=1)
    return {
      "edits": edits,
      "taken_back": taken_back,
      "others_changed": float(others.mean()),
      "interval": intervals.share(others),
      "feature_distance": float(distances.mean(dtype=np.float64)),
    }


def _cost(made):
  """Returns the time of a row, and its steps if they were counted."""
  cost = {"milliseconds": _mean(made.measures[batched.MILLISECONDS])}
  if "steps" in made.measures:
    cost["steps"] = float(np.mean(made.measures["steps"]))
  return cost


def _mean(values):
  """Returns the mean without NaNs; None if all are NaN."""
  measured = values[~np.isnan(values)]
  return float(measured.mean()) if len(measured) else None
