"""Errors of serving, each with the status code that a caller gets."""

from __future__ import annotations

import grpc
from etils import epy

# Reading JSON, which raises these errors, does without it.
with epy.lazy_imports():
  import tensorflow as tf

_LONGEST = 1024
_TRUNCATED = "...TRUNCATED"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
  """A call that cannot be answered: a status code and a text."""

  def __init__(self, code: grpc.StatusCode, text: str):
    """Creates the error; a text is cut after 1024 characters, and says so."""
    if len(text) > _LONGEST:
      text = text[:_LONGEST] + _TRUNCATED
    super().__init__(text)
    self.code = code
    self.text = text


class StillLoadingError(ServingError):
  """The model is loading for the first time: the caller may try again."""

  def __init__(self, text: str):
    super().__init__(grpc.StatusCode.UNAVAILABLE, text)


class TooLargeError(ServingError):
  """A call that takes more than the server gives, also when it is idle."""

  def __init__(self, text: str):
    super().__init__(grpc.StatusCode.RESOURCE_EXHAUSTED, text)


class LoadError(ValueError):
  """A SavedModel that cannot be served.

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
  """Returns the error of a body of more than so many bytes."""
  return TooLargeError(
    f"A body may have {most >> 20} MiB (--max_request_mb), also once it is "
    "inflated: send fewer rows at a time."
  )


def unavailable(text: str) -> ServingError:
  return ServingError(grpc.StatusCode.UNAVAILABLE, text)


def unimplemented(text: str) -> ServingError:
  return ServingError(grpc.StatusCode.UNIMPLEMENTED, text)


def from_tensorflow(error: tf.errors.OpError) -> ServingError:
  """Returns an error of a session as its caller gets to see it."""
  # The session's Python side puts its own stack before the message; the error
  # that it replaces has TensorFlow's message alone.
  original = error.__context__
  if not isinstance(original, tf.errors.OpError):
    original = error
  # TensorFlow and gRPC share their numbers.
  code = _CODES.get(error.error_code, grpc.StatusCode.UNKNOWN)
  return ServingError(code, original.message)
