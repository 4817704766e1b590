"""Memory that calls have freed, given back to the system.

glibc keeps it for the next call: a server that once answered large calls had
four times the memory of its start for ever. And each of its threads that
allocates has an arena of its own, with gaps of its own. TensorFlow with oneDNN
has an allocator besides, which gives nothing back at all.
"""

import contextlib
import ctypes
import os

_ARENAS, _MOST_ARENAS = -8, 2  # M_ARENA_MAX of mallopt.
_FAST = 1  # M_MXFAST of mallopt.


def share() -> None:
  """Lets threads and TensorFlow share arenas; before TensorFlow is loaded."""
  os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
  with contextlib.suppress(AttributeError, OSError):
    library = ctypes.CDLL(None)
    library.mallopt(_ARENAS, _MOST_ARENAS)
    # Lists of small free pieces, which every large one has glibc look through:
    # a tenth of the time that a model takes to load.
    library.mallopt(_FAST, 0)


def trim() -> None:
  """Gives all free pages back; nothing happens without glibc."""
  with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(None).malloc_trim(0)
