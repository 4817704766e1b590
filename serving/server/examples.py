"""What Classify, Regress and MultiInference take: tf.Example, as the graph's.

Such a graph parses the examples itself: it gets them as strings of bytes.
"""

import numpy as np
from tensorflow_serving.apis import input_pb2

from serving.server import errors


def serialize(given: input_pb2.Input) -> np.ndarray:
  """Returns the examples of a request, [rows] `bytes` objects.

  Each has what the context has, too; of a feature that both have, its own.

  Raises:
    ServingError: There are none.
  """
  kind = given.WhichOneof("kind")
  found = getattr(given, kind).examples if kind else ()
  if not found:
    raise errors.invalid_argument("Input is empty.")
  context = b""
  if kind == "example_list_with_context":
    # Messages one behind the other are one message, and the last value stays.
    context = given.example_list_with_context.context.SerializeToString()
  rows = np.empty(len(found), object)
  rows[:] = [context + example.SerializeToString() for example in found]
  return rows
