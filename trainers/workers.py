"""Reads the workers in TF_CONFIG, and waits for them.

    {"cluster": {"worker": ["host-a:2222", "host-b:2222"]},
     "task": {"type": "worker", "index": 0}}

The cluster is the same on every machine; each machine has its own task.
"""

import dataclasses
import json
import os
import socket
import time

# Seconds in which all workers must have been started.
PATIENCE = 600.0
_TYPES = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Workers:
  """The processes that train together.

  Attributes:
    addresses: "host:port" of every worker; the first one is the chief.
    index: Which of them this process is.
    names: Their names in messages, such as "worker 0".
  """

  addresses: tuple[str, ...]
  index: int
  names: tuple[str, ...]

  def __len__(self) -> int:
    return len(self.addresses)

  @property
  def is_chief(self) -> bool:
    """Whether this process is the one that writes."""
    return self.index == 0

  def describe(self, index: int) -> str:
    """Returns a worker's name and address, to be shown."""
    return f"{self.names[index]} ({self.addresses[index]})"

  def answers(self, index: int) -> bool:
    """Returns whether a process listens at a worker's address."""
    host, _, port = self.addresses[index].rpartition(":")
    try:
      socket.create_connection((host.strip("[]"), int(port)), 2).close()
    except OSError:
      return False
    return True

  def meet(self) -> None:
    """Waits until every other worker has been reached.

    TensorFlow would wait, too, but in C++ code, which no signal interrupts and
    which does not say which worker is missing.

    Raises:
      ValueError: A worker could not be reached, or the own port is taken.
    """
    missing = set(range(len(self))) - {self.index}
    deadline = time.monotonic() + PATIENCE
    with self._listen():
      while missing:
        missing = {index for index in missing if not self.answers(index)}
        if missing and time.monotonic() > deadline:
          names = ", ".join(map(self.describe, sorted(missing)))
          raise ValueError(
            f"Waited {PATIENCE:.0f} s for {names}. Start the same command, "
            "with its own TF_CONFIG, on every machine; see to it that they "
            "reach each other at these addresses."
          )
        time.sleep(0.2 if missing else 0.0)

  def _listen(self):
    port = int(self.addresses[self.index].rpartition(":")[2])
    options = {}
    if socket.has_dualstack_ipv6():
      options = {"family": socket.AF_INET6, "dualstack_ipv6": True}
    try:
      return socket.create_server(("", port), **options)
    except OSError as error:
      raise ValueError(
        f"Port {port} of {self.describe(self.index)} cannot be listened on: "
        f"{error.strerror}. Is another worker running here?"
      ) from error


def read() -> Workers | None:
  """Reads TF_CONFIG; returns None if it is not set.

  Raises:
    ValueError: TF_CONFIG is wrong; the message says where.
  """
  text = os.environ.get("TF_CONFIG")
  return parse(text) if text else None


def parse(text: str) -> Workers:
  """Reads the value of TF_CONFIG.

  Raises:
    ValueError: It is wrong; the message says where.
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
        f"TF_CONFIG's cluster has tasks of type {kind!r}; known types are "
        f"{' and '.join(_TYPES)}."
      )
  addresses = {
    f"{kind} {index}": _address(address)
    for kind in _TYPES
    for index, address in enumerate(_part(cluster, kind, list, []))
  }
  if not addresses:
    raise ValueError("TF_CONFIG's cluster has no workers.")
  if len(cluster.get("chief", ())) > 1:
    raise ValueError("TF_CONFIG's cluster has more than one chief.")
  known = list(addresses.values())
  twice = sorted({address for address in known if known.count(address) > 1})
  if twice:
    raise ValueError(
      f"TF_CONFIG's cluster has {', '.join(twice)} more than once."
    )
  names = tuple(addresses)
  return Workers(tuple(known), names.index(_own(cluster, task)), names)


def _own(cluster, task):
  """Returns the name of this process, such as "worker 0"."""
  kind, index = task.get("type"), task.get("index")
  if kind not in cluster:
    raise ValueError(
      f"TF_CONFIG's task is of type {kind!r}, of which its cluster has none: "
      f"it has {' and '.join(cluster)}."
    )
  if isinstance(index, str) and index.isdecimal():
    index = int(index)  # Environment variables are pasted in as text.
  if isinstance(index, bool) or not isinstance(index, int):
    raise ValueError(f"TF_CONFIG's task has the index {index!r}: no integer.")
  count = len(cluster[kind])
  if not 0 <= index < count:
    raise ValueError(
      f"TF_CONFIG's task is {kind} {index}, but its cluster has {count} of "
      f"type {kind}, counted from 0."
    )
  return f"{kind} {index}"


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
