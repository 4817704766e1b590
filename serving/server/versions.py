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


def find_versions(base_path: str) -> dict[int, str] | None:
  """Returns the folder of each version under a path.

  None if the path cannot be read, perhaps for a moment only: that does not mean
  that there are no versions.
  """
  try:
    with os.scandir(base_path) as entries:
      return {
        int(entry.name): entry.path
        for entry in entries
        # "01" is a version; "-1", "1.tmp" and "²" are not.
        if entry.name.isascii()
        and entry.name.isdigit()
        and int(entry.name) <= _LARGEST
        and entry.is_dir()
      }
  except OSError:
    return None


def aspired(
  policy: Policy, found: Collection[int], broken: Collection[int] = ()
) -> set[int]:
  """Returns the versions that should be served.

  Args:
    policy: `latest` (1 if it does not say how many), `all` or `specific`.
    found: The versions that there are.
    broken: Those that could not be loaded. They are tried again; meanwhile
      `latest` has as many others in their place.
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
  """Returns the size and time of each file, which change during a copy."""
  stats = {}
  for parent, _, names in os.walk(folder):
    for name in names:
      path = os.path.join(parent, name)
      with contextlib.suppress(OSError):  # The file may be gone since.
        stat = os.stat(path)
        stats[path] = stat.st_size, stat.st_mtime_ns
  return stats


def drop_from_cache(folder: str) -> None:
  """Tells the system that the files in a folder need not stay in memory."""
  for path in fingerprint(folder):
    # A hint only: a file that cannot be opened needs none.
    with contextlib.suppress(OSError), open(path, "rb") as file:
      os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
