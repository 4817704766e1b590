"""Handles signals to stop: SIGTERM on preemption, and Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Iterator

# EX_TEMPFAIL of sysexits.h: not a failure; run the same command again.
RESUME_ME = 75


class Terminated(SystemExit):
  """Raised on SIGTERM. Uncaught, it ends the program with exit code 75."""

  def __init__(self):
    super().__init__(RESUME_ME)


class Postponed:
  """Records whether a signal to stop has been received."""

  def __init__(self):
    self._signal = None

  @property
  def asked(self) -> bool:
    """Whether a signal has been received."""
    return self._signal is not None

  def stop(self) -> None:
    """Ends the process as the signal would have.

    Raises:
      Terminated: The signal was SIGTERM, or another worker received it.
      KeyboardInterrupt: The signal was Ctrl-C.
    """
    if self._signal == signal.SIGINT:
      raise KeyboardInterrupt
    raise Terminated

  def note(self, number, frame) -> None:
    """Handles a signal; a second Ctrl-C raises KeyboardInterrupt at once."""
    del frame
    if number == signal.SIGINT and self._signal == signal.SIGINT:
      raise KeyboardInterrupt
    self._signal = number


@contextlib.contextmanager
def postponed() -> Iterator[Postponed]:
  """Yields a `Postponed`; within the block, signals are only recorded in it.

  Threads other than the main one receive no signals.
  """
  told = Postponed()
  if threading.current_thread() is not threading.main_thread():
    yield told
    return
  numbers = (signal.SIGTERM, signal.SIGINT)
  before = {number: signal.signal(number, told.note) for number in numbers}
  try:
    yield told
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


@contextlib.contextmanager
def raising() -> Iterator[None]:
  """Within the block, SIGTERM raises `Terminated`, Ctrl-C KeyboardInterrupt.

  Both leave the block as they are, although TensorFlow converts exceptions that
  are raised while it traces a graph.
  """
  raised = None

  def handle(number, frame):
    nonlocal raised
    del frame
    raised = KeyboardInterrupt() if number == signal.SIGINT else Terminated()
    raise raised

  numbers = (signal.SIGTERM, signal.SIGINT)
  before = {number: signal.signal(number, handle) for number in numbers}
  try:
    yield
  except Exception as error:
    if raised is None:
      raise
    raise raised from error
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
