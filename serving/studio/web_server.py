"""A web server that says when it answers."""

import socket
from collections.abc import Callable, Sequence

import uvicorn


class _Server(uvicorn.Server):
  def __init__(self, config, ready):
    super().__init__(config)
    self._ready = ready

  async def startup(self, sockets=None):
    await super().startup(sockets)
    print(self._ready, flush=True)


def run(web: Callable, listening: Sequence[socket.socket], ready: str) -> None:
  """Offers an application, ASGI, until a signal ends it.

  Prints `ready` once pages are answered.
  """
  config = uvicorn.Config(web, log_level="warning")
  _Server(config, ready).run(listening)
