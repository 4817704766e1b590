"""Files that are written whole or not at all."""

import os
import pathlib
import tempfile


def write(path: str | os.PathLike, data: bytes | str) -> None:
  """Writes `data` aside, syncs it, and renames it to `path`.

  Folders that are missing are made. A reader sees the old file or the new one,
  never half of one, and a failure leaves nothing behind.

  Args:
    path: The file; one that is there is replaced.
    data: Its content; text is encoded as UTF-8.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  if isinstance(data, str):
    data = data.encode("utf-8")
  # In the same folder, so that the rename cannot cross file systems.
  with tempfile.NamedTemporaryFile(
    dir=path.parent, prefix=f".{path.name}.", delete=False
  ) as aside:
    try:
      aside.write(data)
      aside.flush()
      os.fsync(aside.fileno())
      os.chmod(aside.name, 0o644)  # Temporary files start out private.
      os.replace(aside.name, path)
    except BaseException:
      os.unlink(aside.name)
      raise
