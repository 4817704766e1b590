"""Memory that calls have freed, given back to the system.

glibc keeps it for the next call: a server that once answered large calls had
four times the memory of its start for ever. And each of its threads that
allocates has an arena of its own, with gaps of its own.
"""

import contextlib
import ctypes

_ARENAS, _MOST_ARENAS = -8, 2  # M_ARENA_MAX of mallopt.


def share() -> None:
  """Lets threads share arenas; for the start of a program."""
  with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(None).mallopt(_ARENAS, _MOST_ARENAS)


def trim() -> None:
  """Gives all free pages back; nothing happens without glibc."""
  with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(None).malloc_trim(0)
