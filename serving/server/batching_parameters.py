"""BatchingParameters: the file with the settings of batching."""

import dataclasses
import os

import numpy as np

from serving.server import text_protos


@dataclasses.dataclass(frozen=True)
class Parameters:
  """The settings of batching.

  Attributes:
    max_batch_size: Most rows of a call, and of a batch.
    timeout: Seconds that a call waits for others.
    max_enqueued_batches: Most batches of one kind that wait for a thread.
    threads: Number of batches that run at once.
    allowed_sizes: If any, a batch is filled up to the next of these sizes.
    pad: Whether inputs of different lengths are batched; shorter ones are
      padded with their first value.
    max_execution_batch_size: Most rows of a batch, to which larger calls are
      split; None does not split calls.

  Raises:
    ValueError: A value is out of range.
  """

  max_batch_size: int = 1000
  timeout: float = 0.0
  max_enqueued_batches: int = 10
  threads: int = os.cpu_count() or 1
  allowed_sizes: tuple[int, ...] = ()
  pad: bool = False
  max_execution_batch_size: int | None = None

  @property
  def largest(self) -> int:
    """Most rows of a batch."""
    return self.max_execution_batch_size or self.max_batch_size

  def __post_init__(self):
    for name in ("max_batch_size", "max_enqueued_batches", "threads"):
      if getattr(self, name) < 1:
        raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
    if not 1 <= self.largest <= self.max_batch_size:
      raise ValueError(
        f"max_execution_batch_size must be from 1 to max_batch_size: {self}"
      )
    if self.timeout < 0.0:
      raise ValueError(f"batch_timeout_micros must not be below 0: {self}")
    sizes = self.allowed_sizes
    if sizes and (sizes[0] < 1 or any(np.diff(sizes) <= 0)):
      raise ValueError(
        f"allowed_batch_sizes entries must be monotonically increasing: {sizes}"
      )
    if sizes and sizes[-1] != self.largest:
      name = "max_execution_batch_size"
      if self.max_execution_batch_size is None:
        name = "max_batch_size"
      raise ValueError(
        f"Last entry in allowed_batch_sizes must match {name}; last entry was "
        f"{sizes[-1]}; expected {self.largest}"
      )


def read(path: str) -> Parameters:
  """Reads a file, a BatchingParameters in text form.

  Raises:
    ValueError: The file cannot be read, or a value is out of range.
  """
  proto = text_protos.read(path, text_protos.BatchingParameters)
  given = {
    name: getattr(proto, field).value
    for name, field in (
      ("max_batch_size", "max_batch_size"),
      ("timeout", "batch_timeout_micros"),
      ("max_enqueued_batches", "max_enqueued_batches"),
      ("threads", "num_batch_threads"),
    )
    if proto.HasField(field)
  }
  if "timeout" in given:
    given["timeout"] /= 1e6
  if proto.enable_large_batch_splitting.value:
    # Without splitting, only max_batch_size limits a batch.
    size = proto.max_execution_batch_size.value
    given["max_execution_batch_size"] = size or None
  try:
    return Parameters(
      **given,
      allowed_sizes=tuple(proto.allowed_batch_sizes),
      pad=proto.pad_variable_length_inputs,
    )
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error
