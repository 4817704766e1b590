"""Where the pages are offered."""

import errno
import socket

HOST, PORT = "localhost", 8600
# Of an address that this machine lacks, such as IPv6's of localhost.
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def listen(host: str, port: int) -> list[socket.socket]:
  """Returns sockets that listen, one for every address of a host.

  Raises:
    OSError: The port is taken, or the host is not this machine.
  """
  listening, absent = [], None
  try:
    for family, *_, where in socket.getaddrinfo(
      host, port, type=socket.SOCK_STREAM
    ):
      try:
        listening.append(socket.create_server(where[:2], family=family))
      except OSError as error:
        if error.errno not in _ABSENT:
          raise
        absent = error
    if not listening:
      raise absent
  except OSError as error:
    for one in listening:
      one.close()
    if error.errno == errno.EADDRINUSE:
      raise OSError(
        f"Port {port} of {host} is taken, perhaps by another studio: end that, "
        "or choose another port, with --port or `make studio PORT=...`."
      ) from error
    raise OSError(
      f"The pages cannot be offered at {host}, port {port}: "
      f"{error.strerror}. Choose others, with --host and --port."
    ) from error
  return listening
