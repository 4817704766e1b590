"""Rules that are a sentence, which an image-text model compares with images.

Such a model (CLIP and similar ones) maps images and sentences to vectors of
similar direction if they match. It is any object with two methods,

  encode_image(images)     float32 [n, height, width, 3] in [0, 1] -> [n, d]
  encode_text(sentences)   a list of n texts -> [n, d]

of arrays or tensors of any library, with any d; it resizes and normalises
images itself. docs/constraints.md wraps open_clip in ten lines.
"""

import inspect

import numpy as np
from scipy import special

from lc_keras import imports
from lc_keras.constraints import functions

# Scale from cosines to logits: CLIP's inverse temperature.
_SURE = 100.0
# Without a second sentence, the best quarter of the first images is accepted.
_ACCEPTED = 0.25

SETTINGS = ("sentence", "against", "image_text")


class Sentence(functions.Scorer):
  """How well an image fits a sentence, as a probability.

  >>> class Brightness:  # Stands in for a model that knows two words.
  ...   def encode_image(self, images):
  ...     bright = images.mean(axis=(1, 2, 3))
  ...     return np.stack([bright, 1.0 - bright], axis=1)
  ...   def encode_text(self, sentences):
  ...     return np.array([[1.0, 0.0] if "bright" in s else [0.0, 1.0]
  ...                      for s in sentences])
  >>> rule = Sentence("a bright day", Brightness(), against="a dark night")
  >>> rule(np.stack([np.zeros([4, 4, 3]), np.ones([4, 4, 3])])).round(2)
  array([0., 1.], dtype=float32)
  """

  rounding = 1e-3

  def __init__(self, sentence: str, model, against: str | None = None):
    """Encodes the sentences.

    Args:
      sentence: A sentence that matches accepted images.
      model: The image-text model, or "module:name" of one or of a function that
        returns one.
      against: A sentence that must match less; without it, images are compared
        with those given to `look`.

    Raises:
      ValueError: A sentence is empty, or the model lacks a method.
    """
    self.name = f"{sentence!r}"
    place = model
    if isinstance(model, str):
      model = imports.function(model)
    made = hasattr(model, "encode_text") or not isinstance(place, str)
    if inspect.isclass(model) or not made:
      model = _called(model, place)
    for method in ("encode_image", "encode_text"):
      if not callable(getattr(model, method, None)):
        raise ValueError(
          f"{_said(place)} has no method {method}: an image-text model has "
          "encode_image(images), of float32 [n, height, width, 3] in [0, 1], "
          "and encode_text(sentences), both to vectors [n, d]."
        )
    for text in (sentence, against):
      if text is not None and not str(text).strip():
        raise ValueError("The sentence is empty: say what to look for.")
    self._model = model
    sentences = [sentence] if against is None else [sentence, against]
    self._texts = self._vectors("encode_text", sentences)
    self._middle, self._sure = 0.0, _SURE
    self._against = against
    self.identity = {
      "rule": self.name,
      "sentence": sentence,
      "against": against,
      "image_text": _said(place),
    }

  def look(self, images):
    """See base class."""
    if self._against is not None:
      return []
    fit = self._fit(images)
    self._middle = float(np.quantile(fit, 1.0 - _ACCEPTED))
    # An image with the median fit gets a probability of 0.02.
    self._sure = 4.0 / max(self._middle - float(np.median(fit)), 1e-6)
    self.identity["middle"] = self._middle
    return [
      f"{self.name}: images are accepted that match it as well as the best "
      f"{_ACCEPTED:.0%} of these images (cosine {self._middle:.3f}). With a "
      "second sentence, --against, those that match the first better."
    ]

  def __call__(self, images):
    """See base class."""
    values = special.expit(self._sure * (self._fit(images) - self._middle))
    return functions.checked(values, len(images), f"The model of {self.name}")

  def _fit(self, images):
    """Returns [n], the cosine with the sentence minus that with `against`."""
    if images.shape[-1] == 1:
      images = np.repeat(images, 3, axis=-1)
    vectors = self._vectors("encode_image", images)
    if vectors.shape[1] != self._texts.shape[1]:
      raise ValueError(
        f"The image-text model of {self.name} gives images vectors of "
        f"{vectors.shape[1]} numbers and sentences of {self._texts.shape[1]}: "
        "they must be of one space."
      )
    cosines = vectors @ self._texts.T
    return cosines[:, 0] - (cosines[:, 1] if cosines.shape[1] > 1 else 0.0)

  def _vectors(self, method, rows):
    """Returns vectors [n, d] of length 1."""
    try:
      vectors = functions.as_array(getattr(self._model, method)(rows))
    except Exception as error:
      raise ValueError(
        f"{method} of the image-text model fails on {len(rows)} rows: "
        f"{type(error).__name__}: {error}"
      ) from error
    if vectors.ndim != 2 or len(vectors) != len(rows):
      raise ValueError(
        f"{method} of the image-text model gives {list(vectors.shape)} for "
        f"{len(rows)} rows: it must give a vector for each, [{len(rows)}, d]."
      )
    vectors = vectors.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (lengths > 0.0).all():
      raise ValueError(
        f"{method} of the image-text model gives a vector of zeros or NaN."
      )
    return vectors / lengths


def accepts(settings) -> bool:
  """Says whether settings are of this kind."""
  return settings.sentence is not None


def make(settings, parts) -> Sentence:
  """Makes the rule.

  Args:
    settings: `recipes.Rule`.
    parts: Not used.
  """
  del parts
  if settings.image_text is None:
    raise ValueError(
      "A sentence needs a model that reads it: name one with image_text, see "
      "docs/constraints.md."
    )
  return Sentence(settings.sentence, settings.image_text, settings.against)


def _called(make_model, place):
  """Returns the model that a function returns."""
  try:
    return make_model()
  except Exception as error:
    raise ValueError(
      f"{place}, which should return an image-text model, fails: "
      f"{type(error).__name__}: {error}"
    ) from error


def _said(place):
  return place if isinstance(place, str) else type(place).__name__
