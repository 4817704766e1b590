"""Which versions of a model there are, and which of them should be served."""

import contextlib
import os
from collections.abc import Collection, Mapping

from tensorflow_serving.config import file_system_storage_path_source_pb2

Policy = (
  file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig
).ServableVersionPolicy
# Numbers of versions are int64 on the wire.
_LARGEST = 2**63 - 1


def find(base_path: str) -> dict[int, str] | None:
  """Returns the folder of each version under a path.

  None if that cannot be read, which may be for a moment only: it does not mean
  that there are none.
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
    broken: Those that could not be loaded. They are tried again, and what
      `latest` would have without them is served meanwhile.
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
  """Returns what changes while files are copied: size and time of each."""
  stats = {}
  for parent, _, names in os.walk(folder):
    for name in names:
      path = os.path.join(parent, name)
      try:
        stat = os.stat(path)
      except OSError:  # Gone since.
        continue
      stats[path] = stat.st_size, stat.st_mtime_ns
  return stats


def forget(folder: str) -> None:
  """Tells the system that the files in a folder need not stay in memory."""
  for path in fingerprint(folder):
    # Only a hint: what cannot be opened is none of its business.
    with contextlib.suppress(OSError), open(path, "rb") as file:
      os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
