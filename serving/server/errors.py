"""What goes wrong in serving, with the code that a caller gets to see."""

import grpc
import tensorflow as tf

_LONGEST = 1024
_TRUNCATED = "...TRUNCATED"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
  """A call that cannot be answered: a status code and a text."""

  def __init__(self, code: grpc.StatusCode, text: str):
    """Creates the error; texts over 1024 characters are cut, and say so."""
    if len(text) > _LONGEST:
      text = text[: _LONGEST - len(_TRUNCATED)] + _TRUNCATED
    super().__init__(text)
    self.code = code
    self.text = text


class StillLoadingError(ServingError):
  """What was asked for may be there in a moment."""

  def __init__(self, text: str):
    super().__init__(grpc.StatusCode.UNAVAILABLE, text)


def invalid_argument(text: str) -> ServingError:
  return ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)


def not_found(text: str) -> ServingError:
  return ServingError(grpc.StatusCode.NOT_FOUND, text)


def failed_precondition(text: str) -> ServingError:
  return ServingError(grpc.StatusCode.FAILED_PRECONDITION, text)


def unavailable(text: str) -> ServingError:
  return ServingError(grpc.StatusCode.UNAVAILABLE, text)


def from_tensorflow(error: tf.errors.OpError) -> ServingError:
  """Returns what a caller gets to see of an error of a session."""
  # The session's Python side puts its own stack before the message; the error
  # it replaces has what TensorFlow said, and nothing else.
  said = error.__context__
  text = said.message if isinstance(said, tf.errors.OpError) else error.message
  # TensorFlow and gRPC share their numbers.
  code = _CODES.get(error.error_code, grpc.StatusCode.UNKNOWN)
  return ServingError(code, text)
