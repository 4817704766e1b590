"""The environment variable TF_CONFIG: which machines train together.

    {"cluster": {"worker": ["host-a:2222", "host-b:2222"]},
     "task": {"type": "worker", "index": 0}}

The same cluster on every machine, and a task of its own.
"""

import dataclasses
import json
import os

_TYPES = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class TFConfig:
  """Who trains together.

  Attributes:
    addresses: "host:port" of every worker; the first one is the chief.
    index: Which of them this process is.
    names: What TF_CONFIG calls them, such as "worker 0".
  """

  addresses: tuple[str, ...]
  index: int
  names: tuple[str, ...]

  @property
  def is_chief(self) -> bool:
    """Whether this process writes what all have made."""
    return self.index == 0

  def describe(self, index: int) -> str:
    """Returns a worker's name and address, to be shown."""
    return f"{self.names[index]} ({self.addresses[index]})"


def read() -> TFConfig | None:
  """Reads TF_CONFIG; returns None if there is none.

  Raises:
    ValueError: It is not what it has to be.
  """
  text = os.environ.get("TF_CONFIG")
  return parse(text) if text else None


def parse(text: str) -> TFConfig:
  """Reads the value of TF_CONFIG.

  Raises:
    ValueError: It is not what it has to be.
  """
  try:
    config = json.loads(text)
  except ValueError as error:
    raise ValueError(f"TF_CONFIG is not JSON ({error}): {text!r}") from error
  cluster = _part(config, "cluster", dict)
  task = _part(config, "task", dict)
  if "ps" in cluster or task.get("type") == "ps":
    raise ValueError(
      "TF_CONFIG names parameter servers ('ps'), which these programs do not "
      "use: all tasks are workers that hold all weights. Leave 'ps' out."
    )
  for kind in cluster:
    if kind not in _TYPES:
      raise ValueError(
        f"TF_CONFIG's cluster has tasks of type {kind!r}; what is known is "
        f"{' and '.join(_TYPES)}."
      )
  tasks = [
    (kind, index, _address(address))
    for kind in _TYPES
    for index, address in enumerate(_part(cluster, kind, list, []))
  ]
  addresses = tuple(address for _, _, address in tasks)
  if not addresses:
    raise ValueError("TF_CONFIG's cluster has no workers.")
  if len(cluster.get("chief", ())) > 1:
    raise ValueError("TF_CONFIG's cluster has more than one chief.")
  twice = {address for address in addresses if addresses.count(address) > 1}
  if twice:
    raise ValueError(
      f"TF_CONFIG's cluster has {', '.join(sorted(twice))} more than once."
    )
  return TFConfig(
    addresses,
    _own_index(tasks, cluster, task),
    tuple(f"{kind} {index}" for kind, index, _ in tasks),
  )


def _own_index(tasks, cluster, task):
  kind, index = task.get("type"), task.get("index")
  if kind not in cluster:
    raise ValueError(
      f"TF_CONFIG's task is of type {kind!r}, of which its cluster has none: "
      f"it has {' and '.join(cluster)}."
    )
  if isinstance(index, str) and index.isdecimal():
    index = int(index)  # Environment variables are pasted in as text.
  count = len(cluster[kind])
  if isinstance(index, bool) or not isinstance(index, int):
    raise ValueError(f"TF_CONFIG's task has the index {index!r}: no integer.")
  if not 0 <= index < count:
    raise ValueError(
      f"TF_CONFIG's task is {kind} {index}, but its cluster has {count} of "
      f"type {kind}, counted from 0."
    )
  return [known[:2] for known in tasks].index((kind, index))


def _part(value, name, kind, default=None):
  if not isinstance(value, dict):
    raise ValueError(f"TF_CONFIG has {value!r} where an object was expected.")
  found = value.get(name, default)
  if not isinstance(found, kind):
    expected = "an object" if kind is dict else "a list"
    raise ValueError(
      f"TF_CONFIG's {name!r} is {found!r}, and should be {expected}."
    )
  return found


def _address(address):
  host, _, port = str(address).rpartition(":")
  if not host or not port.isdecimal() or not 0 < int(port) < 65536:
    raise ValueError(
      f"TF_CONFIG's cluster has the address {address!r}; expected host:port."
    )
  return address
