"""The versions of a model: those in its folder, and those to serve."""

import contextlib
import os
from collections.abc import Collection, Mapping

from tensorflow_serving.config import file_system_storage_path_source_pb2

Policy = (
  file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig
).ServableVersionPolicy
# Numbers of versions are int64 on the wire.
_LARGEST = 2**63 - 1
_SAVED_MODEL = "saved_model.pb"
_MOST_LISTED = 5


def find_versions(base_path: str) -> dict[int, str] | None:
  """Returns the folder of each version under a path.

  None if the path cannot be read, perhaps temporarily: it may have versions.
  """
  try:
    with os.scandir(base_path) as entries:
      return {
        int(entry.name): entry.path
        for entry in entries
        if _is_number(entry.name) and entry.is_dir()
      }
  except OSError:
    return None


def problem(base_path: str) -> str:
  """Returns the reason why a path has no versions, and the remedy."""
  wanted = (
    "A server takes a folder of versions, each a folder named by a number"
  )
  try:
    found = sorted(entry.name for entry in os.scandir(base_path))
  except OSError as error:
    return f"{base_path} cannot be read: {error.strerror}. {wanted}."
  if _SAVED_MODEL in found:
    parent, name = os.path.split(os.path.abspath(base_path))
    if _is_number(name):
      return f"{base_path} is itself a version. {wanted}: give {parent}."
    return (
      f"{base_path} is itself a SavedModel. {wanted}: move it to {base_path}/1."
    )
  listed = ", ".join(found[:_MOST_LISTED]) or "nothing"
  return f"{base_path} has no versions, but {listed}. {wanted}, such as 1."


def aspired(
  policy: Policy, found: Collection[int], broken: Collection[int] = ()
) -> set[int]:
  """Returns the versions that should be served.

  Args:
    policy: `latest` (1 by default), `all` or `specific`.
    found: The existing versions.
    broken: Versions that could not be loaded. They are retried; meanwhile
      `latest` includes as many others instead.
  """
  if policy.WhichOneof("policy_choice") == "specific":
    return set(policy.specific.versions).intersection(found)
  if policy.WhichOneof("policy_choice") == "all":
    return set(found)
  wanted = set()
  missing = max(1, policy.latest.num_versions)
  for version in sorted(found, reverse=True):
    if missing:
      wanted.add(version)
      missing -= version not in broken
  return wanted


def fingerprint(folder: str) -> Mapping[str, tuple[int, int]]:
  """Returns the size and time of each file; they change during a copy."""
  stats = {}
  for parent, _, names in os.walk(folder):
    for name in names:
      path = os.path.join(parent, name)
      with contextlib.suppress(OSError):  # The file may have been removed.
        stat = os.stat(path)
        stats[path] = stat.st_size, stat.st_mtime_ns
  return stats


def drop_from_cache(folder: str) -> None:
  """Lets the system drop the files in a folder from its page cache."""
  for path in fingerprint(folder):
    # A hint only: files that cannot be opened are skipped.
    with contextlib.suppress(OSError), open(path, "rb") as file:
      os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _is_number(name):
  """Returns whether a name is a version: "01" is; "-1", "1.tmp", "²" not."""
  return name.isascii() and name.isdigit() and int(name) <= _LARGEST
