"""Locks between processes, so that only one at a time works in a folder.

The kernel releases a lock (flock) when its process ends, even if it is killed.
On NFS, locks hold between machines if the server's lock service runs. On a file
system without locks, a warning is issued and nothing is locked.

>>> import tempfile
>>> from lc_keras import locks
>>> path = tempfile.mkdtemp() + "/lock"
>>> locks.take(path)
>>> locks.give_back(path)
"""

import fcntl
import os
import socket
import warnings

# Open files by path. A process may take a lock again that it holds.
_held = {}


class Busy(Exception):
  """Another process has the lock; the message says which."""


def take(path: str, *, wait: bool = False) -> None:
  """Takes a lock, until it is given back or the process ends.

  Args:
    path: The file that is locked; made if needed, and left there.
    wait: Whether to wait until the lock is free.

  Raises:
    Busy: Another process has it.
  """
  path = os.path.realpath(path)
  if path in _held:
    return
  file = open(path, "a+", encoding="utf-8")
  try:
    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
  except BlockingIOError as error:
    file.seek(0)
    owner = file.read().strip() or "another process"
    file.close()
    raise Busy(owner) from error
  except OSError as error:
    warnings.warn(
      f"{path} cannot be locked ({error.strerror}): make sure that only one "
      "process works there.",
      stacklevel=2,
    )
  file.truncate(0)
  file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
  file.flush()
  _held[path] = file


def give_back(path: str) -> None:
  """Gives a lock back, if this process has it."""
  file = _held.pop(os.path.realpath(path), None)
  if file is not None:
    file.close()
