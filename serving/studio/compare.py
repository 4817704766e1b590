"""The second page: every sampler on the same request."""

import asyncio
import dataclasses

import numpy as np
from nicegui import ui

from serving import latent_client
from serving.studio import asking
from serving.studio import layout
from serving.studio import state as state_lib
from serving.studio.controls import Controls
from serving.studio.layout import Element

# Calls that took less than so many milliseconds are made again, and the median
# counts: the first may have had to wait.
_QUICK = 500.0
_TIMES = 3
# In a few words, what the samplers of `serving.export` do; others have none.
_IN_WORDS = {
  "actor": "The run’s own way: a network trained to do it in one step, and a "
  "search for what it was not trained for.",
  "search": "Gradient steps on what the critics say, for each face anew.",
  "energy": "An energy of the critics, followed down in many small steps.",
  "flow": "To noise and back, with the wishes as a condition.",
  "linear": "One straight direction for each attribute.",
  "importance": "Many draws, and one taken by how well it fits.",
  "best_of_n": "Many draws, and the best of them taken.",
}


class Compare:
  """The page of one user."""

  def __init__(
    self, studio: layout.Studio, facts: asking.Facts, state: state_lib.State
  ):
    """Draws it."""
    self._studio = studio
    self._facts = facts
    self._running: asyncio.Task | None = None
    self.links = {}
    with Element("div", classes="studio-play"):
      with Element("section", classes="studio-card", aria_label="Result"):
        with Element("div", classes="studio-pictures"):
          self._before = layout.Figure("Before", facts.image_shape)
        self._status = Element("div", "", "studio-status", role="status")
        self._error = Element("div", "", "studio-error", role="alert")
        with Element("div", classes="studio-buttons"):
          ui.button("Compare", on_click=self.ask).props("no-caps")
          ui.button("Stop", on_click=self.stop).props("no-caps outline")
        self._made = Element("div", classes="studio-compared")
        self._made.style("margin-top: 1rem")
      with Element(
        "section", classes="studio-card studio-controls", aria_label="Controls"
      ):
        self._controls = Controls(
          state,
          facts,
          studio.faces,
          self.changed,
          self.fail,
          all_samplers=True,
        )

  def changed(self) -> None:
    """Shows another state in the link; samplers are asked by the button."""
    state = self._controls.state
    for path, link in self.links.items():
      link.attribute(href=layout.link(path, state))
    ui.navigate.history.replace(layout.link("/compare", state))
    self._status.say("Press Compare to ask every sampler for this.")

  def leave(self) -> None:
    """Ends the call: the user has gone."""
    if self._running:
      self._running.cancel()

  def fail(self, sentence: str) -> None:
    """Says what went wrong."""
    self._error.say(sentence)

  def tick(self) -> None:
    """Nothing moves here by itself."""

  def stop(self) -> None:
    """Ends the call, at the server too."""
    if self._running and not self._running.done():
      self._running.cancel()
      self._status.say("Stopped.")

  def ask(self) -> None:
    """Asks every sampler, one after the other."""
    self.stop()
    self._running = asyncio.create_task(self._answer(self._controls.state))

  async def _answer(self, state):
    asker, facts = self._studio.asker, self._facts
    self._made.clear()
    self.fail("")
    try:
      face = self._studio.faces.picture(state.face, facts.image_shape)
      start = await asker.start(facts, face, state.seed)
    except (latent_client.RequestError, ValueError) as error:
      self.fail(str(error))
      return
    for sampler in facts.samplers:
      self._status.say(f"Asking {sampler} …")
      asked = dataclasses.replace(state, sampler=sampler)
      try:
        moves = [await asker.move(facts, start, asked, [state.wishes])]
        while moves[-1].milliseconds < _QUICK and len(moves) < _TIMES:
          moves.append(await asker.move(facts, start, asked, [state.wishes]))
        before, view = await asker.views(moves[0], [0.0, state.strength])
      except latent_client.RequestError as error:
        with self._made, Element("section", aria_label=sampler):
          Element("h2", sampler)
          Element("div", str(error), "studio-error")
        continue
      self._before.show(before.png, "The face as the model draws it")
      milliseconds = sorted(move.milliseconds for move in moves)
      with self._made:
        self._card(sampler, moves[0], view, milliseconds[len(moves) // 2])
    self._status.say(
      f"{len(facts.samplers)} samplers, one after the other; the time is that "
      "of one call."
    )

  def _card(self, sampler, move, view, milliseconds):
    with Element("section", aria_label=sampler):
      Element("h2", sampler)
      Element("p", _IN_WORDS.get(sampler, ""), "studio-hint")
      layout.Figure("", self._facts.image_shape).show(
        view.png, f"The face as {sampler} changes it"
      )
      rows = {
        "Time": f"{milliseconds:.0f} ms",
        "Identity: moved by": f"{view.distance:.2f}",
        "Realism": f"{view.realism:.2f}",
        "As asked": "yes" if move.converged[0] else "no",
        "Evaluations": f"{move.steps[0]}",
      }
      # What was asked for first.
      for column in np.argsort(-move.mask[0], kind="stable"):
        name = self._facts.attributes.names[column].replace("_", " ")
        if move.mask[0, column]:
          name += f" (asked: {move.values[0, column]:g})"
        rows[name] = f"{view.probabilities[column]:.2f}"
      with Element("dl", classes="studio-facts"):
        for name, value in rows.items():
          Element("dt", name)
          Element("dd", value)
