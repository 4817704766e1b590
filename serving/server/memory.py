"""Returns memory that calls have freed to the system.

glibc keeps it for the next call: after large calls, a server had four times its
initial memory for ever. Each thread that allocates has its own arena, with its
own gaps. TensorFlow with oneDNN has another allocator, which returns nothing.
"""

import ctypes
import os

_ARENAS, _MOST_ARENAS = -8, 2  # M_ARENA_MAX of mallopt.
_FAST = 1  # M_MXFAST of mallopt.


def share() -> None:
  """Makes threads and TensorFlow, not yet loaded, share arenas."""
  os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
  library = ctypes.CDLL(None)
  library.mallopt(_ARENAS, _MOST_ARENAS)
  # Without lists of small free chunks, which glibc scans for each large one: a
  # tenth of the time to load a model.
  library.mallopt(_FAST, 0)


def trim() -> None:
  """Returns all free pages to the system."""
  ctypes.CDLL(None).malloc_trim(0)
