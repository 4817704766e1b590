"""The second page: every sampler on the same request."""

import dataclasses

import numpy as np
from nicegui import ui

from serving import latent_client
from serving.studio import layout
from serving.studio import page
from serving.studio.layout import Element

# Calls of less than this many milliseconds are repeated, and the median is
# shown: the first call may have had to wait.
_QUICK = 500.0
_TIMES = 3
# Descriptions of the samplers of `serving.export`.
_IN_WORDS = {
  "actor": "The run’s own way: a network trained to do it in one step, and a "
  "search for constraints that were learned later.",
  "search": "Gradient steps on the critics’ scores, for each face anew.",
  "energy": "An energy of the critics, followed down in many small steps.",
  "flow": "To noise and back, with the request as a condition.",
  "linear": "One straight direction for each attribute.",
  "importance": "Many draws, and one taken by how well it fits.",
  "best_of_n": "Many draws, and the best of them taken.",
}


class Compare(page.Page):
  """The page of one user."""

  path = "/compare"
  all_samplers = True

  def _draw_result(self):
    with Element("div", classes="studio-buttons"):
      ui.button("Compare", on_click=self.ask).props("no-caps")
      ui.button("Stop", on_click=self.stop).props("no-caps outline")
    self._results = Element("div", classes="studio-compared")

  def changed(self) -> None:
    """Updates the link; the samplers are called by the button."""
    super().changed()
    self._status.say("Press Compare to ask every sampler for this.")

  async def _answer(self, state):
    """Calls every sampler, one after the other."""
    self._results.clear()
    self.fail("")
    start = await self._model.start(await self._picture(state), state.seed)
    for sampler in self._facts.samplers:
      self._status.say(f"Asking {sampler} …")
      asked = start, dataclasses.replace(state, sampler=sampler)
      try:
        moves = [await self._model.move(*asked, [state.request])]
        while moves[-1].milliseconds < _QUICK and len(moves) < _TIMES:
          moves.append(await self._model.move(*asked, [state.request]))
        before, after = await self._model.views(moves[0], [0.0, state.strength])
      except latent_client.RequestError as error:
        with self._results, Element("section", aria_label=sampler):
          Element("h2", sampler)
          Element("div", str(error), "studio-error")
        continue
      self._before.show(before.png, "The face as the model draws it")
      milliseconds = np.median([move.milliseconds for move in moves])
      with self._results, Element("section", aria_label=sampler):
        self._draw_sampler(sampler, moves[0], after, milliseconds)
    self._status.say(
      f"{len(self._facts.samplers)} samplers, one after the other; the time is "
      "that of one call. A face that has moved by 1 is no further away than "
      "another reading of the same picture."
    )

  def _draw_sampler(self, sampler, move, after, milliseconds):
    Element("h2", sampler)
    self._figure().show(after.png, f"The face as {sampler} changes it")
    Element("p", _IN_WORDS.get(sampler, ""), "studio-hint")
    rows = {
      "Time": f"{milliseconds:.0f} ms",
      "Identity: moved by": f"{after.distance:.2f}",
      "Realism": f"{after.realism:.2f}",
      "Realistic and as asked": "yes" if move.converged[0] else "no",
      "Evaluations of networks": f"{move.steps[0]}",
    }
    # The attributes of the request first.
    for column in np.argsort(-move.mask[0], kind="stable"):
      name = layout.spaced(self._facts.attributes.names[column])
      if move.mask[0, column]:
        name += f" (asked: {move.targets[0, column]:g})"
      rows[name] = f"{after.probabilities[column]:.2f}"
    with Element("dl", classes="studio-facts"):
      for name, value in rows.items():
        Element("dt", name)
        Element("dd", value)
