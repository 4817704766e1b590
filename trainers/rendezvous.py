"""Workers wait for each other before TensorFlow starts.

TensorFlow would wait, too, but within C++ code: no signal ends that, and nobody
is told who is missing.
"""

import socket
import time

from trainers import tf_config

# Seconds in which all workers must have been started.
PATIENCE = 600.0


def meet(config: tf_config.TFConfig) -> None:
  """Waits until every other worker has been reached.

  Raises:
    ValueError: One has not, or the own port is taken.
  """
  port = int(config.addresses[config.index].rpartition(":")[2])
  missing = set(range(len(config.addresses))) - {config.index}
  deadline = time.monotonic() + PATIENCE
  try:
    server = _listen(port)
  except OSError as error:
    raise ValueError(
      f"Port {port} of {config.describe(config.index)} cannot be listened on: "
      f"{error.strerror}. Is another worker running here?"
    ) from error
  with server:
    while missing:
      missing = {n for n in missing if not answers(config.addresses[n])}
      if missing and time.monotonic() > deadline:
        names = ", ".join(map(config.describe, sorted(missing)))
        raise ValueError(
          f"Waited {PATIENCE:.0f} s for {names}. Start the same command, "
          "with its own TF_CONFIG, on every machine; see to it that they "
          "reach each other at these addresses."
        )
      if missing:
        time.sleep(0.2)


def _listen(port):
  if socket.has_dualstack_ipv6():
    return socket.create_server(
      ("", port), family=socket.AF_INET6, dualstack_ipv6=True
    )
  return socket.create_server(("", port))


def answers(address: str) -> bool:
  """Returns whether somebody listens at "host:port"."""
  host, _, port = address.rpartition(":")
  try:
    socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
  except OSError:
    return False
  return True
