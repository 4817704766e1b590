"""Rules that are a class of a trained classifier."""

import os

import numpy as np
from scipy import special

from lc_keras import spelling
from lc_keras.constraints import functions
from lc_keras.learning.rules import network

SETTINGS = ("rule", "rule_class", "rule_labels", "rule_pixels", "rule_outputs")

# Images from which the kinds of pixels and outputs are inferred.
_LOOKED_AT = 64
# A wider range of pixels makes a network more certain. So the narrowest kind is
# chosen that gives at least this share of the best kind's information, ...
_NEARLY = 0.7
# ... and kinds 255 times as wide only if narrow ones give less than this share.
_BLIND = 0.25
# If plausible kinds agree on this share of images, either will do.
_SAME = 0.9
# The sum of the logits of a softmax hardly varies, since no loss depends on it.
_ONE_OF_MANY = 0.6


class Classifier(functions.Scorer):
  """The probability that a classifier gives to one class.

  Its kind of pixels, and whether it gives logits or probabilities, are inferred
  from the first images and reported.

  >>> def classify(images):  # Dark, bright.
  ...   bright = images.mean(axis=(1, 2, 3))
  ...   return np.stack([1.0 - bright, bright], axis=1)
  >>> rule = Classifier(classify, "bright", labels=["dark", "bright"])
  >>> images = np.ones([5, 8, 8, 1], np.float32)
  >>> images *= np.linspace(0.0, 1.0, 5).reshape(5, 1, 1, 1)
  >>> notes = rule.look(images)
  >>> rule(images)
  array([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
  """

  rounding = 1e-3

  def __init__(
    self,
    model,
    of: int | str | None = None,
    *,
    labels=None,
    pixels: str | None = None,
    outputs: str | None = None,
  ):
    """Opens the classifier.

    Args:
      model: See `network.Network`.
      of: The class, by number or name; not needed for a single number.
      labels: The names of the classes, or a file with one a line.
      pixels: See `network.Network`; inferred if not given.
      outputs: What the numbers are: "probabilities", or logits for a "softmax"
        or a "sigmoid"; inferred if not given.

    Raises:
      ValueError: It cannot be opened, or there is no such class.
    """
    self._network = network.Network(model)
    self._of = of
    self._labels = _read_labels(labels)
    self._pixels, self._outputs = pixels, outputs
    self.name = (
      self._network.name if of is None else f"{self._network.name}:{of}"
    )
    self.identity = {"rule": self.name, "class": of}

  def look(self, images):
    """See base class."""
    images = images[:_LOOKED_AT]
    tried = {
      pixels: self._network.outputs(images, pixels)
      for pixels in self._network.pixels(images, self._pixels)
    }
    self._output, self._column = self._find_output(next(iter(tried.values())))
    numbers = {
      pixels: _columns(found[self._output]) for pixels, found in tried.items()
    }
    read, told = {}, {}
    for pixels, rows in numbers.items():
      if not np.isfinite(rows).all():
        continue
      kind, told[pixels] = _kind(rows)
      if self._outputs:
        kind, told[pixels] = self._outputs, f"{self._outputs}, as given"
      read[pixels] = kind, _probabilities(rows, kind)
    if not read:
      sums = next(iter(numbers.values())).sum(axis=1)
      functions.checked(sums, len(images), f"The classifier {self.name}")
    best, *others = _plausible({key: rows for key, (_, rows) in read.items()})
    self._pixels, self._outputs = best, read[best][0]
    self.identity |= {"pixels": best, "outputs": self._outputs}
    notes = [f"{self.name}: outputs are {told[best]}; pixels are {best}."]
    if len(tried) > 1:
      notes.append(
        self._confidence_note(
          {key: read[key][1] for key in (best, *others)}, best
        )
      )
    return notes

  def __call__(self, images):
    """See base class."""
    rows = _columns(self._network(images, self._pixels, self._output))
    values = _probabilities(rows, self._outputs)[:, self._column]
    return functions.checked(values, len(images), f"The classifier {self.name}")

  def _confidence_note(self, read, best):
    """Returns a sentence on how certain the inferred pixels are."""
    on = {key: rows[:, self._column] > 0.5 for key, rows in read.items()}
    same = {key: np.mean(on[key] == on[best]) for key in on if key != best}
    told = "The pixel values were inferred"
    if not same:
      return f"{told}: no others give predictions as certain and as varied."
    other = min(same, key=same.get)
    told += f"; with {other}, {same[other]:.0%} of images read the same."
    if same[other] >= _SAME:
      return told
    return (
      f"WARNING: {told} Both are plausible: give those that the classifier "
      "was trained on, with rule_pixels."
    )

  def _find_output(self, found):
    """Returns the output and the column of the class."""
    if self._of in found:  # A head for each class.
      name, count = self._of, _columns(found[self._of]).shape[1]
      if count == 1:
        return name, 0
      raise ValueError(
        f"The output {name} of {self._network.name} has {count} numbers: "
        "name one of its classes."
      )
    name = self._network.choose(found, None)
    count = _columns(found[name]).shape[1]
    if self._of is None and count == 1:
      return name, 0
    if self._labels and len(self._labels) != count:
      raise ValueError(
        f"There are {len(self._labels)} names of classes, and "
        f"{self._network.name} has {count} classes: give a name for each, in "
        "their order."
      )
    known = self._labels or [str(number) for number in range(count)]
    if str(self._of) in known:
      return name, known.index(str(self._of))
    if str(self._of).isdecimal() and int(self._of) < count:
      return name, int(self._of)
    hint = (
      spelling.suggest(str(self._of), known)
      if self._labels
      else f"give a number from 0 to {count - 1}, or a name and, with "
      "rule_labels, a file of all names, one a line."
    )
    raise ValueError(
      f"{self._network.name} has {count} classes, and rule_class is "
      f"{self._of!r}: {hint}"
    )


def accepts(settings) -> bool:
  """Says whether settings are of this kind."""
  return settings.rule is not None and (
    settings.rule_class is not None
    or network.is_model(network.split(settings.rule)[0])
  )


def make(settings, parts) -> Classifier:
  """Opens the classifier.

  Args:
    settings: `recipes.Rule`.
    parts: Not used.
  """
  del parts
  place, asked = network.split(settings.rule)
  if None not in (asked, settings.rule_class):
    raise ValueError(
      f"The class is asked for twice, {settings.rule!r} and rule_class "
      f"{settings.rule_class!r}: give one."
    )
  return Classifier(
    place,
    asked if settings.rule_class is None else settings.rule_class,
    labels=settings.rule_labels,
    pixels=settings.rule_pixels,
    outputs=settings.rule_outputs,
  )


def _read_labels(labels):
  """Returns the names of the classes, if they are given."""
  if labels is None or not isinstance(labels, (str, os.PathLike)):
    return labels and [str(one) for one in labels]
  try:
    with open(labels, encoding="utf-8-sig") as file:
      names = [line.strip() for line in file]
  except (OSError, UnicodeDecodeError) as error:
    raise ValueError(
      f"The names of classes in {os.fspath(labels)!r} cannot be read: {error}. "
      "Give a text file with one a line."
    ) from error
  while names and not names[-1]:
    names.pop()
  twice = {name for name in names if names.count(name) > 1}
  if not names or twice:
    raise ValueError(
      f"{os.fspath(labels)!r} must have one name a line, each once; "
      + (f"{sorted(twice)[0]!r} comes twice." if twice else "it is empty.")
    )
  return names


def _columns(numbers):
  """Returns [n, classes]."""
  numbers = np.asarray(numbers, np.float64)
  return numbers.reshape(len(numbers), -1)


def _kind(rows):
  """Returns the kind of numbers [n, classes], and its description."""
  inside = rows.min() >= 0.0 and rows.max() <= 1.0
  if rows.shape[1] == 1:
    if inside:
      return "probabilities", "probabilities"
    return "sigmoid", "logits, some outside of [0, 1], read by a sigmoid"
  if inside:
    sums = rows.sum(axis=1)
    if np.allclose(sums, 1.0, atol=1e-2):
      return "probabilities", "probabilities of exclusive classes"
    return "probabilities", "probabilities of independent classes"
  varies = rows.sum(axis=1).var() / max(rows.var(axis=0).sum(), 1e-12)
  if varies < _ONE_OF_MANY:
    return "softmax", "logits of exclusive classes, read by a softmax"
  return "sigmoid", "logits of independent classes, read by a sigmoid"


def _probabilities(rows, kind):
  """Returns [n, classes] in [0, 1]."""
  if kind == "softmax":
    return special.softmax(rows, axis=1)
  if kind == "sigmoid":
    return special.expit(rows)
  return np.clip(rows, 0.0, 1.0)


def _plausible(read):
  """Returns the plausible kinds of pixels, the narrowest first.

  On pixels as in its training, a network is certain of each image, and of
  different classes: image and class have high mutual information (in nats).

  Args:
    read: Probabilities [n, classes] by kind of pixels.
  """
  told = {pixels: _information(rows) for pixels, rows in read.items()}
  small = {key: told[key] for key in told if key in network.SMALL}
  large = {key: told[key] for key in told if key not in small}
  group = small or large
  if small and large and max(small.values()) < _BLIND * max(large.values()):
    group = large
  best = max(group.values())
  return [key for key in group if group[key] >= _NEARLY * best]


def _information(rows):
  """Returns the mutual information of image and class."""
  if rows.shape[1] == 1 or not np.allclose(rows.sum(axis=1), 1.0, atol=1e-2):
    each = special.entr(rows) + special.entr(1.0 - rows)
    mean = rows.mean(axis=0)
    whole = special.entr(mean) + special.entr(1.0 - mean)
    return float((whole - each.mean(axis=0)).sum())
  whole = special.entr(rows.mean(axis=0)).sum()
  return float(whole - special.entr(rows).sum(axis=1).mean())
