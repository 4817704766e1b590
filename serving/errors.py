"""What goes wrong in serving, with the code that a caller gets to see."""

import grpc

_LONGEST = 1024
_TRUNCATED = "...TRUNCATED"


class ServingError(Exception):
  """A call that cannot be answered: a status code and a text."""

  def __init__(self, code: grpc.StatusCode, text: str):
    """Creates the error; texts over 1024 characters are cut, and say so."""
    if len(text) > _LONGEST:
      text = text[: _LONGEST - len(_TRUNCATED)] + _TRUNCATED
    super().__init__(text)
    self.code = code
    self.text = text


def invalid_argument(text: str) -> ServingError:
  return ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)


def not_found(text: str) -> ServingError:
  return ServingError(grpc.StatusCode.NOT_FOUND, text)
