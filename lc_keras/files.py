"""Files that are either complete or absent: write aside, fsync, rename."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
  """Yields a path beside `path` to write to, and renames it afterwards.

  The path yielded has the suffix of `path`, since some writers depend on it. It
  may become a file or a folder; a folder replaces an older one.

  Args:
    path: The final path. It does not change if the body raises.

  >>> import os, tempfile
  >>> from lc_keras import files
  >>> folder = tempfile.mkdtemp()
  >>> with files.replacing(folder + "/a.txt") as aside:
  ...   written = open(aside, "w").write("new")
  >>> os.listdir(folder)
  ['a.txt']
  """
  folder, name = os.path.split(os.path.abspath(path))
  aside = os.path.join(folder, f".tmp-{os.getpid()}-{name}")
  # A killed process with the same process id may have left one.
  _remove(aside)
  try:
    yield aside
    sync_tree(aside)
    older = os.path.join(folder, f".tmp-{os.getpid()}-older-{name}")
    if os.path.isdir(aside) and os.path.isdir(path):
      # Renamed, not removed file by file: no reader may see a part of it.
      _remove(older)
      os.replace(path, older)
    os.replace(aside, path)
    sync(folder)
    _remove(older)
  finally:
    _remove(aside)


def check_writable(path: str, name: str) -> None:
  """Checks that a file can be created, before the work on its contents.

  Args:
    path: Its path; folders above it may be missing.
    name: What the message calls it, such as "--out".

  Raises:
    ValueError: It is a folder, or lies below a file.
  """
  if os.path.isdir(path):
    fault = "that is a folder. Name a file in it"
  else:
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.lexists(folder):
      folder = os.path.dirname(folder)
    if os.path.isdir(folder):
      return
    fault = f"{folder} is a file and no folder. Name another path"
  raise ValueError(f"{name}={path} cannot be written: {fault}.")


def copy(source: str, path: str) -> None:
  """Copies a file to `path`, which changes when the copy is complete."""
  with replacing(path) as aside:
    shutil.copyfile(source, aside)


def reserve(path: str, size: int) -> None:
  """Checks that the disk has room for a file.

  Args:
    path: Path of the file; it must not exist, and is not left there.
    size: Its size in bytes.

  Raises:
    OSError: There is no room.
  """
  with open(path, "xb") as file:
    try:
      os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
      if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
        raise OSError(error.errno, os.strerror(error.errno), path) from error
    finally:
      os.remove(path)


def remove(path: str) -> None:
  """Removes a file or a folder, if it exists, in one step."""
  folder, name = os.path.split(os.path.abspath(path))
  if os.path.lexists(path):
    aside = os.path.join(folder, f".tmp-{os.getpid()}-{name}")
    _remove(aside)
    os.replace(path, aside)
    _remove(aside)


def sweep(folder: str, name: str | None = None) -> None:
  """Removes the unfinished files of killed processes below a folder.

  No other process may be writing there.

  Args:
    folder: The folder.
    name: Removes only unfinished files of this name, directly in the folder;
      None removes all.
  """
  wanted = r".*" if name is None else rf"\d+-(older-)?{re.escape(name)}"
  for found in os.listdir(folder):
    path = os.path.join(folder, found)
    if re.fullmatch(rf"\.tmp-{wanted}", found):
      _remove(path)
    elif name is None and os.path.isdir(path) and not os.path.islink(path):
      sweep(path)


def check_name(name: str, what: str) -> None:
  """Raises ValueError unless a name is safe as that of a file in a folder.

  Names come from flags and from other people's files; one with `/` or `..`
  would lead out of the folder.

  Args:
    name: The name.
    what: The thing that it names, such as "a stage".
  """
  if not name or name[0] == "." or "/" in name or "\0" in name:
    raise ValueError(
      f"{name!r} cannot be the name of {what}: it must not begin with a dot, "
      "nor have a / in it."
    )


def write_json(path: str, value) -> None:
  """Writes a value as indented JSON; NaN is refused, since JSON has none."""
  write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: str, text: str) -> None:
  """Writes a text, in UTF-8."""
  with replacing(path) as aside, open(aside, "w", encoding="utf-8") as file:
    file.write(text)


def read_json(path: str):
  """Returns the value in a JSON file.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: It is damaged.
  """
  with open(path, encoding="utf-8") as file:
    try:
      return json.load(file)
    except ValueError as error:
      raise ValueError(
        f"{path} is damaged: {error}. Put back a copy, or make it again."
      ) from error


def checksum(path: str) -> str:
  """Returns the SHA-256 of a file's contents, in hexadecimal."""
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def sync_tree(path: str) -> None:
  """Flushes a file, or a folder with its contents, to the disk (fsync)."""
  for folder, _, names in os.walk(path):
    for name in names:
      sync(os.path.join(folder, name))
  sync(path)


def sync(path: str) -> None:
  """Flushes a file, or the list of a folder's files, to the disk (fsync)."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def _remove(path: str) -> None:
  if os.path.isdir(path):
    shutil.rmtree(path)
  elif os.path.exists(path):
    os.remove(path)
