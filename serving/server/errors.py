"""Errors of serving, with the status codes for callers."""

from __future__ import annotations

import grpc
from etils import epy

# Lazy: the process that reads JSON raises these errors without TensorFlow.
with epy.lazy_imports():
  import tensorflow as tf

_LONGEST = 1024
_TRUNCATED = "...TRUNCATED"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
  """Raised if a call cannot be answered; has a status code and a text."""

  def __init__(self, code: grpc.StatusCode, text: str):
    """Creates the error; marks a text that is truncated to 1024 characters."""
    if len(text) > _LONGEST:
      text = text[:_LONGEST] + _TRUNCATED
    super().__init__(text)
    self.code = code
    self.text = text


class StillLoadingError(ServingError):
  """Raised while a model loads for the first time: callers may retry."""

  def __init__(self, text: str):
    super().__init__(grpc.StatusCode.UNAVAILABLE, text)


class TooLargeError(ServingError):
  """Raised if a call exceeds the limits even of an idle server."""

  def __init__(self, text: str):
    super().__init__(grpc.StatusCode.RESOURCE_EXHAUSTED, text)


class LoadError(ValueError):
  """Raised if a SavedModel cannot be served.

  Attributes:
    code: The reason, as a status code.
  """

  def __init__(self, text: str, code: grpc.StatusCode):
    super().__init__(text)
    self.code = code


def invalid_argument(text: str) -> ServingError:
  return ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)


def not_found(text: str) -> ServingError:
  return ServingError(grpc.StatusCode.NOT_FOUND, text)


def failed_precondition(text: str) -> ServingError:
  return ServingError(grpc.StatusCode.FAILED_PRECONDITION, text)


def too_large(most: int) -> TooLargeError:
  """Returns the error for a body of more than `most` bytes."""
  return TooLargeError(
    f"A body may have {most >> 20} MiB, also once it is inflated: send fewer "
    "rows at a time."
  )


def unavailable(text: str) -> ServingError:
  return ServingError(grpc.StatusCode.UNAVAILABLE, text)


def unimplemented(text: str) -> ServingError:
  return ServingError(grpc.StatusCode.UNIMPLEMENTED, text)


def from_tensorflow(error: tf.errors.OpError) -> ServingError:
  """Returns an error of a session as an error for callers."""
  # The session's Python code prepends its stack to the message; the original
  # error has TensorFlow's message only.
  original = error.__context__
  if not isinstance(original, tf.errors.OpError):
    original = error
  # TensorFlow and gRPC have the same numbers of codes.
  code = _CODES.get(error.error_code, grpc.StatusCode.UNKNOWN)
  return ServingError(code, original.message)
