"""Users' functions of images, whose results are checked.

Such a function is often new and untested, so that everything it returns is
checked, and error messages say what to change.
"""

import abc
import inspect
import numbers
import os
import traceback
from collections.abc import Callable

import numpy as np

from lc_keras import files
from lc_keras import imports


class Scorer(abc.ABC):
  """Gives every image a number, by a function, a classifier, examples ...

  Attributes:
    name: Its name in messages.
    identity: JSON values that identify it in a manifest; "rule" is the name.
    rounding: Largest difference between an image's numbers in two calls, as a
      share of the largest number.
  """

  name: str
  identity: dict
  rounding = 1e-5

  def look(self, images: np.ndarray) -> list[str]:
    """Adapts to some images before it scores any; returns notes for the user.

    Args:
      images: As for `__call__`, at least 2.
    """
    del images
    return []

  @abc.abstractmethod
  def __call__(self, images: np.ndarray) -> np.ndarray:
    """Returns finite float32 [n].

    Args:
      images: float32 [n, height, width, channels] in [0, 1], read-only.

    Raises:
      ValueError: It cannot score them; the message says why.
    """


class Function(Scorer):
  """A Python function of images.

  >>> import numpy as np
  >>> bright = Function(lambda images: images.mean(axis=(1, 2, 3)))
  >>> bright(np.ones([2, 4, 4, 1], np.float32))
  array([1., 1.], dtype=float32)
  """

  def __init__(self, function: str | Callable):
    """Loads and checks the function, without running it.

    Args:
      function: "module:function", see `imports.function`; or the function. It
        takes images as one argument, must not write into them, and returns [n]
        or [n, 1] numbers: an array, a list, a series or a tensor (PyTorch's,
        too, on any device), of floats, whole numbers or bools.

    Raises:
      ValueError: It cannot be loaded, or cannot be called with images.
    """
    if isinstance(function, str):
      self.name, self._function = function, imports.function(function)
    else:
      self.name, self._function = imports.address_of(function), function
    _check_function(self._function, self.name)
    self._source = imports.file_of(self._function)
    # Computed now, since the file may change while training runs.
    readable = os.path.isfile(self._source)
    checksum = files.checksum(self._source) if readable else None
    self.identity = {"rule": self.name, "source_sha256": checksum}

  def __call__(self, images):
    """See base class."""
    try:
      output = self._function(images)
    except (Exception, SystemExit) as error:
      raise ValueError(self._failure(error, images)) from error
    return checked(output, len(images), f"The rule {self.name}")

  def _failure(self, error, batch):
    """Returns the error message for an exception of the function."""
    told = str(error)
    if "numpy.ndarray" in told and "Tensor" in told:
      problem = (
        "takes a tensor, and images come as an array. Begin with "
        "images = torch.as_tensor(images.transpose(0, 3, 1, 2).copy()), of "
        "float32 [n, channels, height, width]"
      )
    elif "read-only" in told:
      problem = (
        "writes into the images that it is given. Let it work on a copy, "
        "images = images.copy()"
      )
    else:
      problem = (
        f"fails on images of shape {list(batch.shape)}: "
        f"{type(error).__name__}: {told}"
      )
    # The first frame is ours.
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if frame.filename == self._source]
    return f"The rule {self.name} {problem}{imports.place(own or frames)}"


def checked(output, count: int, who: str) -> np.ndarray:
  """Returns the output of a user's function as finite float32 [n].

  Args:
    output: Anything.
    count: n, the number of images.
    who: Start of error messages, such as "The rule rules:tall".

  Raises:
    ValueError: It is not one finite number per image.
  """
  wanted = f"A rule returns one number per image: [n], here [{count}]."
  if output is None:
    raise ValueError(
      f"{who} returns nothing. {wanted} Does it end with return?"
    )
  kind = type(output).__name__
  try:
    values = as_array(output)
  except Exception as error:
    raise ValueError(
      f"{who} returns a {kind} that cannot be read as numbers: {error} {wanted}"
    ) from error
  if values.dtype.kind not in "biuf":
    odd = [
      one
      for one in values.ravel().tolist()
      if not isinstance(one, numbers.Real)
    ]
    raise ValueError(
      f"{who} returns a {kind} of {values.dtype}, for example "
      f"{odd[0] if odd else None!r}, and not of real numbers. {wanted}"
    )
  if values.shape not in ((count,), (count, 1)):
    raise ValueError(
      f"{who} returns shape {list(values.shape)} for {count} "
      f"image{'s' * (count > 1)}. {wanted} {_remedy(values.shape, count)}"
    )
  with np.errstate(over="ignore"):
    values = values.reshape(count).astype(np.float32)
  wrong = ~np.isfinite(values)
  if wrong.any():
    row = int(wrong.argmax())
    raise ValueError(
      f"{who} gives row {row} of a batch of {count} the value {values[row]}, "
      f"and {wrong.sum()} of them are NaN or infinite. A rule must give every "
      "image a finite number: guard it against dividing by 0, the logarithm "
      "of 0 and means of nothing."
    )
  return values


def as_array(output) -> np.ndarray:
  """Returns numbers in any container as an array, numeric if possible.

  Args:
    output: An array, a list, a series, a tensor of any library, which is
      detached and copied to the CPU.
  """
  if isinstance(output, (list, tuple)):
    output = [_plain(one) for one in output]
  if np.ma.isMaskedArray(output):
    output = output.astype(np.float64).filled(np.nan)
  values = np.asarray(_plain(output))
  objects = values.dtype == object and all(
    isinstance(one, (numbers.Real, np.bool_)) for one in values.ravel()
  )
  # bfloat16 and its kin are of kind V, and have no fields.
  if objects or (values.dtype.kind == "V" and not values.dtype.names):
    return values.astype(np.float64)
  return values


def _plain(value):
  """Returns a PyTorch tensor as an array, other values unchanged."""
  if not hasattr(value, "detach"):
    return value
  value = value.detach().cpu()
  return np.asarray(value.float() if "bfloat16" in str(value.dtype) else value)


def _check_function(function, name):
  """Raises ValueError if it cannot be called with images."""
  if inspect.isclass(function):
    raise ValueError(
      f"{name} is a class. A rule is a function of images: write one that "
      "makes an object of it and calls that."
    )
  if not callable(function):
    raise ValueError(
      f"{name} is of type {type(function).__name__}. A rule is a function of "
      "images."
    )
  try:
    signature = inspect.signature(function)
  except (TypeError, ValueError):
    return  # Some built-in functions have no signature.
  try:
    signature.bind(None)
  except TypeError as error:
    raise ValueError(
      f"{name} takes {signature}. A rule is called with one argument, the "
      "images: give the others defaults, or write a function that does."
    ) from error


def _remedy(shape, count):
  """Returns advice about a wrong shape."""
  if not shape and count == 1:
    return "Keep the first axis of a single image, too: np.squeeze takes it."
  if not shape:
    return "Keep the first axis: mean(axis=(1, 2, 3)), not mean()."
  if shape[0] == count:
    return "Reduce the other axes, too: for example .mean(axis=(1, 2, 3))."
  return "Reduce every axis but the first: for example mean(axis=(1, 2, 3))."
