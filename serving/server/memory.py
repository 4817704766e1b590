"""Memory that calls have freed, given back to the system.

glibc keeps it for the next call: a server that once answered large calls had
four times the memory of its start for ever. And each of its threads that
allocates has an arena of its own, with gaps of its own. TensorFlow with oneDNN
has an allocator besides, which gives nothing back at all. In pages of 4 KB, a
message of 80 MB holds Python for three times as long as in large ones.
"""

import contextlib
import ctypes
import os
import sys

_ARENAS, _MOST_ARENAS = -8, 2  # M_ARENA_MAX of mallopt.
_FAST = 1  # M_MXFAST of mallopt.
# What glibc reads when a process starts, and how it asks for large pages.
_TUNABLES, _LARGE_PAGES = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"


def use_large_pages() -> None:
  """Starts the program again, with large pages, if it has none."""
  tunables = os.environ.get(_TUNABLES, "")
  if sys.platform != "linux" or _LARGE_PAGES in tunables:
    return
  tunables = f"{tunables}:{_LARGE_PAGES}=1".removeprefix(":")
  arguments = [sys.executable, *sys.orig_argv[1:]]
  with contextlib.suppress(OSError):
    os.execve(sys.executable, arguments, {**os.environ, _TUNABLES: tunables})


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
