"""Signals to stop: SIGTERM before a machine is taken away, and Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Iterator

# EX_TEMPFAIL of sysexits.h: nothing is wrong, do it again.
RESUME_ME = 75


class Terminated(SystemExit):
  """SIGTERM has come. Unless it is caught, the program exits with 75."""

  def __init__(self):
    super().__init__(RESUME_ME)


class Postponed:
  """Notes whether a signal to stop has come."""

  def __init__(self):
    self._signal = None

  @property
  def asked(self) -> bool:
    """Whether one has come."""
    return self._signal is not None

  def stop(self) -> None:
    """Ends the process as the signal would have.

    Raises:
      Terminated: It was SIGTERM, or another worker has been told to stop.
      KeyboardInterrupt: It was Ctrl-C.
    """
    if self._signal == signal.SIGINT:
      raise KeyboardInterrupt
    raise Terminated

  def note(self, number, frame) -> None:
    """Handles a signal; a second Ctrl-C waits no longer."""
    del frame
    if number == signal.SIGINT and self._signal == signal.SIGINT:
      raise KeyboardInterrupt
    self._signal = number


@contextlib.contextmanager
def postponed() -> Iterator[Postponed]:
  """Yields a `Postponed`; within, signals do nothing but set it.

  Threads other than the main one get no signals.
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
  """Within, SIGTERM raises `Terminated`, and Ctrl-C KeyboardInterrupt.

  Whatever the block makes of it: TensorFlow turns what is raised while it
  traces a graph into errors of its own.
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
