"""How calls are put together: TensorFlow Serving's BatchingParameters."""

import dataclasses
import os

import numpy as np

from serving import text_protos


@dataclasses.dataclass(frozen=True)
class Parameters:
  """How calls are put together.

  Attributes:
    max_batch_size: Rows of a batch.
    timeout: Seconds that a call waits for others.
    max_enqueued_batches: Batches of one kind that may wait for a thread.
    threads: Batches that run at once.
    allowed_sizes: If any, a batch is filled up to the next of these sizes.
    pad: Whether inputs of different lengths come together, the shorter ones
      filled up with their own first value.
  """

  max_batch_size: int = 1000
  timeout: float = 0.0
  max_enqueued_batches: int = 10
  threads: int = os.cpu_count() or 1
  allowed_sizes: tuple[int, ...] = ()
  pad: bool = False

  def __post_init__(self):
    for name in ("max_batch_size", "max_enqueued_batches", "threads"):
      if getattr(self, name) < 1:
        raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
    if self.timeout < 0.0:
      raise ValueError(f"batch_timeout_micros must not be below 0: {self}")
    sizes = self.allowed_sizes
    if sizes and (sizes[0] < 1 or any(np.diff(sizes) <= 0)):
      raise ValueError(
        f"allowed_batch_sizes entries must be monotonically increasing: {sizes}"
      )
    if sizes and sizes[-1] != self.max_batch_size:
      raise ValueError(
        "Last entry in allowed_batch_sizes must match max_batch_size; last "
        f"entry was {sizes[-1]}; expected {self.max_batch_size}"
      )


def read(path: str) -> Parameters:
  """Reads a file of BatchingParameters; what it leaves out has its default.

  Raises:
    ValueError: The file cannot be read, or its values cannot be meant.
  """
  proto = text_protos.read(path, text_protos.BatchingParameters)
  given = {}
  for field, name in (
    ("max_batch_size", "max_batch_size"),
    ("batch_timeout_micros", "timeout"),
    ("max_enqueued_batches", "max_enqueued_batches"),
    ("num_batch_threads", "threads"),
  ):
    if proto.HasField(field):
      given[name] = getattr(proto, field).value
  if "timeout" in given:
    given["timeout"] /= 1e6
  try:
    return Parameters(
      **given,
      allowed_sizes=tuple(proto.allowed_batch_sizes),
      pad=proto.pad_variable_length_inputs,
    )
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error
