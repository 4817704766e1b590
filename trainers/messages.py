"""Messages to users, and remedies for errors of the operating system."""

import errno
import os
import sys
from collections.abc import Iterator

# By errno: the remedy.
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


def info(message: str) -> None:
  """Prints a message to stderr, as progress bars do."""
  print(message, file=sys.stderr, flush=True)


def explain(error: BaseException) -> str | None:
  """Returns the system error that ended a job, and its remedy.

  None for any other error. Libraries wrap errors of the operating system in
  their own: the causes of an error and its text are searched, too.
  """
  for one in causes(error):
    if isinstance(one, OSError) and one.errno in _REMEDIES and one.filename:
      # Of two files, the second is the one that is written.
      return _sentence(one.errno, os.fsdecode(one.filename2 or one.filename))
  for one in causes(error):
    # TensorFlow's errors are not RuntimeErrors, and it may not be loaded.
    if isinstance(one, (OSError, RuntimeError)) or hasattr(one, "error_code"):
      for number in _REMEDIES:
        if os.strerror(number) in str(one):
          return _sentence(number, str(one).splitlines()[0])
  return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
  """Yields an error and the errors that led to it."""
  seen = set()
  while error is not None and id(error) not in seen:
    seen.add(id(error))
    yield error
    error = error.__cause__ or error.__context__


def _sentence(number, where):
  text = os.strerror(number)
  told = where if text in where else f"{where}: {text}"
  return f"{told}. {_REMEDIES[number]}"
