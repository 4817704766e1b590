"""The base of the two pages about the model: controls, and a running call."""

import asyncio

from nicegui import ui

from serving import latent_client
from serving.studio import controls
from serving.studio import layout
from serving.studio import state as state_lib
from serving.studio.layout import Element


class Page:
  """A page of one user.

  Attributes:
    path: Path of the page.
    all_samplers: Whether it calls all samplers: then none is chosen.
    links: The links to the other pages, which contain the state.
  """

  path = ""
  all_samplers = False

  def __init__(self, studio: layout.Studio, state: state_lib.State):
    """Draws the page."""
    self.links: dict[str, Element] = {}
    self._studio = studio
    self._model = studio.model
    self._facts = studio.model.facts
    self._running: asyncio.Task | None = None
    with Element("div", classes="studio-play") as play:
      with layout.Card("", label="Result", classes="studio-stage"):
        with Element("div", classes="studio-pictures") as self._pictures:
          self._before = self._figure("Before")
        self._status = Element("div", "", "studio-status", role="status")
        self._error = Element("div", "", "studio-error", role="alert")
        self._draw_result()
      with layout.Card("", label="Controls", classes="studio-controls"):
        self._controls = controls.Controls(
          state,
          self._facts,
          studio.faces,
          self.changed,
          self.fail,
          self.all_samplers,
        )
      self._controls.take_drops(play)
      self._draw_more()

  def _draw_result(self):
    """Draws the part below the pictures."""

  def _draw_more(self):
    """Draws further cards."""

  def _figure(self, caption=""):
    return layout.Figure(caption, self._facts.preprocessing.image_shape)

  def changed(self) -> None:
    """Writes the state to the links and to the browser's address."""
    state = self._controls.state
    for path, link in self.links.items():
      link.attribute(href=state.link(path))
    ui.navigate.history.replace(state.link(self.path))

  def fail(self, sentence: str) -> None:
    """Shows an error."""
    self._error.say(sentence)

  def ask(self) -> None:
    """Requests the state of the controls; cancels an older request."""
    self.leave()
    self._running = asyncio.create_task(self._work())

  def leave(self) -> None:
    """Cancels the call, at the server too; called when the user leaves."""
    if self._running:
      self._running.cancel()

  def stop(self) -> None:
    """Cancels the call on the user's command."""
    if self._running and not self._running.done():
      self.leave()
      self._status.say("Stopped.")

  def tick(self) -> None:
    """Updates the page; called ten times a second."""

  async def _work(self):
    try:
      await self._answer(self._controls.state)
    except (latent_client.RequestError, ValueError) as error:
      self.fail(str(error))
      self._status.say("")

  async def _answer(self, state):
    """Requests a state, and shows the answer; pages override it."""

  async def _picture(self, state):
    """Returns the pixels of a state's face; None if the model draws it."""
    # In a thread: a large picture takes a second, and users share the loop.
    return await asyncio.to_thread(
      self._studio.faces.picture, state.face, self._facts.preprocessing
    )
