"""Rules that are example pictures: like these, not like those.

A logistic regression on the features of a frozen network separates them; it is
evaluated on held-out pictures.
"""

import hashlib
import os
from collections.abc import Callable

import numpy as np
from scipy import special
from sklearn import linear_model
from sklearn import model_selection
from sklearn import pipeline
from sklearn import preprocessing as scalers

from lc_keras.constraints import functions
from lc_keras.data import images as pictures
from lc_keras.data import preprocessing as preprocessings
from lc_keras.generators import generator as generators
from lc_keras.learning import calibration
from lc_keras.learning.rules import network

_FOLDS = 5
# Inverse strengths of regularisation to choose from.
_STRENGTHS = np.logspace(-4, 0.5, 4)

SETTINGS = ("like", "unlike", "features", "rule_pixels")


class Pictures(functions.Scorer):
  """How much an image resembles some pictures rather than others.

  Attributes:
    figures: Figures on held-out pictures, see `calibration.figures`.
  """

  rounding = 1e-3

  def __init__(
    self,
    like: np.ndarray,
    unlike: np.ndarray,
    features: Callable[[np.ndarray], np.ndarray],
    about: dict,
  ):
    """Fits the regression.

    Args:
      like: [n, height, width, channels] in [0, 1].
      unlike: [m, height, width, channels], pictures not to be accepted.
      features: Maps images to vectors [n, d].
      about: JSON values for the manifest: "rule" and others.

    Raises:
      ValueError: There are too few pictures, or one is in both sets.
    """
    for name, some in (("like", like), ("unlike", unlike)):
      if len(some) < _FOLDS:
        raise ValueError(
          f"There are {len(some)} pictures for {name}; at least {_FOLDS} are "
          "needed, better 30 for each of like and unlike."
        )
    both = _digests(like) & _digests(unlike)
    if both:
      raise ValueError(
        f"{len(both)} pictures are in both like and unlike: remove them from "
        "one."
      )
    self.name = about["rule"]
    self._features = features
    rows = np.concatenate([self._of(like), self._of(unlike)])
    on = np.repeat([1, 0], [len(like), len(unlike)])
    self._model, logits = _fitted(rows, on)
    # Held-out pictures calibrate logits to log odds, as if both kinds were
    # equally frequent, whatever the number of examples.
    balance = len(on) / (2.0 * np.where(on > 0, on.sum(), (1 - on).sum()))
    self._slope, self._shift = calibration.platt(logits, on, balance)
    read = special.expit(self._slope * logits + self._shift)
    self.figures = calibration.figures(read, on, np.ones(len(on)))
    self.identity = {
      **about,
      "like": len(like),
      "unlike": len(unlike),
      "examples": self.figures,
      "trustworthy": calibration.trustworthy(self.figures),
    }

  def look(self, images):
    """See base class."""
    del images
    known = self.figures["balanced_accuracy"]
    low, high = known["interval"]
    told = (
      f"{self.name}: balanced accuracy on held-out pictures "
      f"{known['value']:.0%} ({low:.0%} to {high:.0%}), by "
      f"{self.identity['features']}."
    )
    if self.identity["trustworthy"]:
      return [told]
    return [
      f"{told} WARNING: this is unreliable, since the lower bound is below "
      f"{calibration.BAR:.0%}: give more pictures of either kind, or name "
      "other features."
    ]

  def __call__(self, images):
    """See base class."""
    logits = self._model.decision_function(self._of(images))
    values = special.expit(self._slope * logits + self._shift)
    return functions.checked(values, len(images), f"The rule {self.name}")

  def _of(self, images):
    features = np.asarray(self._features(images), np.float64)
    return features.reshape(len(images), -1)


def read_folder(
  place, preprocessing: preprocessings.Preprocessing
) -> np.ndarray:
  """Reads the pictures of a folder, of any size.

  Args:
    place: The folder; or images [n, height, width, channels] in [0, 1].
    preprocessing: How a picture becomes an image.

  Returns:
    float32 [n, *image_shape] in [0, 1].

  Raises:
    ValueError: There is no such folder, it has no pictures, or one of them is
      damaged.
  """
  if not isinstance(place, (str, os.PathLike)):
    return np.asarray(place, np.float32)
  if not os.path.isdir(place):
    raise ValueError(
      f"There is no folder {os.fspath(place)!r} of example pictures."
    )
  known = pictures.endings()
  names = [
    name
    for name in sorted(os.listdir(place))
    if os.path.splitext(name)[1].lower() in known and name[0] != "."
  ]
  if not names:
    raise ValueError(
      f"The folder {os.fspath(place)!r} has no pictures (PNG, JPEG, ...)."
    )
  return np.stack(
    [preprocessing.load(os.path.join(place, name)) for name in names]
  )


def accepts(settings) -> bool:
  """Says whether settings are of this kind."""
  return settings.like is not None or settings.unlike is not None


def make(settings, parts) -> Pictures:
  """Reads the pictures and fits the rule.

  Args:
    settings: `recipes.Rule`.
    parts: `parts.Parts`, whose models give features by default.
  """
  if settings.like is None or settings.unlike is None:
    raise ValueError(
      "Example pictures are two folders: like these (like), and not like those "
      "(unlike)."
    )
  both = [
    read_folder(place, parts.preprocessing)
    for place in (settings.like, settings.unlike)
  ]
  named = [
    place if isinstance(place, (str, os.PathLike)) else "pictures"
    for place in (settings.like, settings.unlike)
  ]
  about = {"rule": f"like {named[0]}, unlike {named[1]}"}
  tried = []
  for name, features in _features(settings, parts, np.concatenate(both)):
    tried.append(Pictures(*both, features, {**about, "features": name}))
  # Of several kinds of pixels, those that separate the examples best.
  return max(tried, key=lambda one: one.figures["balanced_accuracy"]["value"])


def _features(settings, parts, images):
  """Yields names of features, and functions that map images to them."""
  if settings.features is not None:
    given = network.Network(settings.features)
    for pixels in given.pixels(images, settings.rule_pixels):
      yield (
        f"{given.name} (pixels {pixels})",
        lambda rows, pixels=pixels: network.pooled(given(rows, pixels)),
      )
  elif "classifier" in parts.models:
    classifier = parts.models["classifier"]
    yield (
      "the run's classifier",
      lambda rows: classifier.logits_and_features(rows)[1],
    )
  elif generators.can_encode(parts.generator):
    encode = parts.generator.encode
    yield "the generator's encoder", lambda rows: encode(rows).mean()
  else:
    raise ValueError(
      "This generator has neither a classifier nor an encoder, whose features "
      "would serve to compare pictures: name a network with features."
    )


def _fitted(rows, on):
  """Returns a regression on all rows, and cross-validated logits [n]."""
  folds = [
    model_selection.StratifiedKFold(count, shuffle=True, random_state=0)
    for count in (_FOLDS, _FOLDS - 2)
  ]
  # The strength of regularisation is chosen within the rows of each fit.
  model = pipeline.make_pipeline(
    scalers.StandardScaler(),
    model_selection.GridSearchCV(
      # Fast on few rows, even on a busy machine.
      linear_model.LogisticRegression(
        class_weight="balanced", solver="liblinear"
      ),
      {"C": _STRENGTHS},
      scoring="neg_log_loss",
      cv=folds[1],
    ),
  )
  logits = model_selection.cross_val_predict(
    model, rows, on, cv=folds[0], method="decision_function"
  )
  return model.fit(rows, on), logits


def _digests(images):
  return {hashlib.sha256(image.tobytes()).hexdigest() for image in images}
