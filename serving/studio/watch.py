"""Whether the server is there, asked for all pages at once."""

import asyncio
import contextlib

from serving import latent_client
from serving.studio import asking

_PAUSE = 1.0
# A server that is busy may take a while to say that it is there.
_PATIENCE = 4.0


class Watch:
  """Asks again and again.

  Attributes:
    up: Whether it was there when last asked.
    returns: How often it has come, at first or again; with it, another model
      may have come.
    facts: What is known of the model; None before it was ever there.
    error: Why nothing is known; "" if there is no reason.
  """

  def __init__(
    self, client: latent_client.AsyncLatentClient, asker: asking.Asker
  ):
    self.up = True
    self.returns = 0
    self.facts: asking.Facts | None = None
    self.error = ""
    self._client = client
    self._asker = asker

  async def run(self) -> None:
    """Goes on until it is cancelled."""
    while True:
      there = await self._client.connect(_PATIENCE)
      if there and not (self.up and self.facts and not self.error):
        with contextlib.suppress(latent_client.RequestError):
          await self._learn()
          self.returns += 1
      self.up = there
      await asyncio.sleep(_PAUSE)

  async def _learn(self):
    try:
      self.facts, self.error = await self._asker.facts(), ""
    except latent_client.RequestError as error:
      self.error = str(error)
      raise
