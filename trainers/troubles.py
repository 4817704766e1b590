"""What to say when the machine fails a job: disks, permissions, lost files."""

import errno
import os
from collections.abc import Iterator

from etils import epy

with epy.lazy_imports():
  import tensorflow as tf

# What is wrong, as the operating system says it, and what to do.
_REMEDIES = {
  errno.ENOSPC: "Make room there",
  errno.EDQUOT: "Make room there, or have the quota raised",
  errno.EFBIG: "Raise the limit (`ulimit -f`), or choose another file system",
  errno.EROFS: "Make it writable, or choose another folder",
  errno.EACCES: "Change the permissions, or choose another folder",
  errno.EPERM: "Change the permissions, or choose another folder",
  errno.ENOTDIR: "Choose a folder, or move away the file that is in its place",
  errno.EEXIST: "Choose a folder, or move away the file that is in its place",
  errno.ENOENT: "Put it back, or correct the flag that names it",
  errno.EIO: "Check the disk",
  errno.ESTALE: "Check the connection to the file server",
}


def explain(error: BaseException) -> str | None:
  """Returns what the machine failed at and what to do; None if it did not.

  Libraries hide the operating system's errors in their own: what caused an
  error is looked at, too, and what it says.

  Args:
    error: What a job ended with.
  """
  for one in _chain(error):
    if isinstance(one, OSError) and one.errno in _REMEDIES and one.filename:
      # Of two files, the second is the one that is written.
      return _sentence(one.errno, os.fspath(one.filename2 or one.filename))
  for one in _chain(error):
    if not isinstance(one, (OSError, RuntimeError, tf.errors.OpError)):
      continue
    for number in _REMEDIES:
      if os.strerror(number) in str(one):
        return _sentence(number, str(one).splitlines()[0])
  return None


def is_lost_data(error: BaseException) -> bool:
  """Whether TensorFlow could not read a file of a data set."""
  kinds = (tf.errors.DataLossError, tf.errors.NotFoundError)
  return any(isinstance(one, kinds) for one in _chain(error))


def _sentence(number, where):
  if isinstance(where, bytes):
    where = os.fsdecode(where)
  text = os.strerror(number)
  told = where if text in where else f"{where}: {text}"
  return f"{told}. {_REMEDIES[number]}"


def _chain(error) -> Iterator[BaseException]:
  seen = set()
  while error is not None and id(error) not in seen:
    seen.add(id(error))
    yield error
    error = error.__cause__ or error.__context__
