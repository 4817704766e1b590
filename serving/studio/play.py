"""The first page: a face, a request, and the result at once."""

import asyncio
import time

import numpy as np
from nicegui import ui

from serving import latent_client
from serving.studio import drawing
from serving.studio import layout
from serving.studio import page
from serving.studio.layout import Element

_STEPS = 7  # Pictures of a trajectory, with both ends.
# Changes within this many seconds, such as a slider's, are requested as one.
_DEBOUNCE = 0.03
# A call that runs longer than this is stopped when the request changes.
_QUICK = 0.4


class Play(page.Page):
  """The page of one user."""

  path = "/"

  def _draw_result(self):
    self._started = 0.0
    self._call = "", 0, 0.0  # Its sampler, number of requests, and start.
    self._changed = False  # Whether the controls have changed since.
    self._answers = {}
    self._png = b""
    self._shown = None  # The move that is shown, and its strength.
    with self._pictures:
      self._after = self._figure("After")
      self._difference = self._figure("What changed (orange)")
    buttons = [("Save the picture", self._save)]
    if self._model.has_full_size:
      buttons.append(("Full size", self._show_full_size))
    with Element("div"):
      for text, do in buttons:
        ui.button(text, on_click=do).props(
          "outline no-caps dense padding='2px 10px'"
        )
    with ui.dialog() as self._dialog, ui.card():
      self._full_size = Element("img", alt="")
    with Element("div", classes="studio-busy studio-hidden") as self._busy:
      self._progress = ui.linear_progress(0.0, show_value=False, size="8px")
      self._progress.props('aria-label="Progress" instant-feedback')
      self._elapsed = Element("span", "", "studio-number")
      ui.button("Stop", on_click=self.stop).props("dense outline no-caps")

  def _draw_more(self):
    names = [layout.spaced(name) for name in self._facts.attributes.names]
    with Element("div", classes="studio-more"):
      with layout.Card(
        "From start to result",
        "By strength. How far the face has moved is counted so that two "
        "readings of the same picture by the model are about 1 apart."
        if self._facts.encodes
        else "By strength, and how far the face has moved.",
        label="Trajectory",
      ):
        with Element("div", classes="studio-strip"):
          self._strip = [self._figure(" ") for _ in range(_STEPS)]
      with layout.Card(
        "What the model’s own judges read: before → after",
        "Networks that say how much like a real face it is, and which "
        "attributes it has. The bar is after, the mark before.",
      ):
        with Element("div", classes="studio-bars"):
          self._realism = layout.Bar("Realism")
          self._bars = [layout.Bar(name) for name in names]
      with layout.Card("Same person, every attribute"):
        everyone = ui.checkbox(
          "Switch each attribute alone",
          value=self._controls.state.everyone,
          on_change=lambda event: self._controls.change(everyone=event.value),
        )
        with Element("div", classes="studio-grid") as grid:
          self._cells = [self._figure(name) for name in names]
        grid.bind_visibility_from(everyone, "value")

  def changed(self) -> None:
    """Updates the link, and requests new pictures."""
    super().changed()
    self.ask()

  def ask(self) -> None:
    """Requests the state of the controls.

    A call that has just started ends first; a slow one is cancelled.
    """
    if self._running and not self._running.done():
      if time.monotonic() - self._started < _QUICK:
        self._changed = True
        return
    self._started = time.monotonic()
    super().ask()

  def leave(self) -> None:
    """See base class."""
    self._changed = False
    super().leave()

  def tick(self) -> None:
    """Shows the progress of a slow call."""
    now = time.monotonic()
    running = self._running and not self._running.done()
    if not running or now - self._started < _QUICK:
      return
    if self._changed:
      self.ask()
      return
    sampler, count, started = self._call
    usual = self._model.usual.get((sampler, count))
    part, text = progress(sampler, now - started, usual)
    self._busy.classes(remove="studio-hidden")
    if part is None:
      self._progress.props("indeterminate")
    else:
      self._progress.props(remove="indeterminate")
      self._progress.value = part
    self._elapsed.say(text)

  async def _work(self):
    """Repeats the request until the controls stay the same during a call."""
    try:
      while True:
        self._changed = False
        self._started = time.monotonic()
        await asyncio.sleep(_DEBOUNCE)
        await super()._work()
        if not self._changed:
          break
    finally:
      # Unless a newer request has replaced this one.
      if self._running is asyncio.current_task():
        self._busy.classes(add="studio-hidden")

  async def _answer(self, state):
    # A server that has restarted may have another version of the model.
    key = self._model.returns, state.face, state.seed
    self._call = state.sampler, 1, self._started
    start = await self._once(
      "start", key, self._model.start, await self._picture(state), state.seed
    )
    key = *key, state.sampler, state.realism_weight
    move = await self._once(
      "move",
      (*key, state.request),
      self._model.move,
      *(start, state, [state.request]),
    )
    strengths = np.linspace(0.0, state.strength, _STEPS)
    views = await self._model.views(move, strengths)
    self._show(views, strengths, move, state)
    if state.everyone:
      requests = [
        [(name, float(read <= 0.5))]
        for name, read in zip(
          self._facts.attributes.names, views[0].probabilities
        )
      ]
      self._call = state.sampler, len(requests), time.monotonic()
      move = await self._once(
        "everyone", key, self._model.move, *(start, state, requests)
      )
      self._show_everyone(await self._model.views(move, state.strength), move)

  async def _once(self, kind, key, ask, *args):
    """Returns `ask(*args)`, or its last answer if the key is the same."""
    if self._answers.get(kind, (None,))[0] != key:
      self._answers[kind] = key, await ask(*args)
    return self._answers[kind][1]

  def _show(self, views, strengths, move, state):
    first, last = views[0], views[-1]
    self.fail("")
    self._before.show(first.png, "The face as the model draws it")
    self._after.show(last.png, "The face after the change")
    self._difference.show(
      drawing.difference(first.png, last.png),
      "Where the two pictures differ, in colour",
    )
    for figure, view, strength in zip(self._strip, views, strengths):
      figure.show(
        view.png,
        f"Strength {strength:.2f}",
        f"{strength:.2f} · moved {view.distance:.2f}",
      )
    self._realism.show(first.realism, last.realism)
    for bar, *read in zip(self._bars, first.probabilities, last.probabilities):
      bar.show(*map(float, read))
    self._png = last.png
    self._shown = move, state.strength
    seconds = time.monotonic() - self._started
    if not state.request:
      self._status.say(
        "Nothing is asked for yet: choose with or without for an attribute."
      )
      return
    verdict = (
      "realistic and as asked"
      if move.converged[0]
      else ("not realistic, or not all as asked")
    )
    by = f"{state.sampler}, " if len(self._facts.samplers) > 1 else ""
    moved = f"The face has moved by {last.distance:.2f}"
    if self._facts.encodes:
      moved += ", where 1 is no more than another reading of it"
    self._status.say(
      f"{by}{1000 * seconds:.0f} ms. At strength 1, the model’s own judges "
      f"find it {verdict}. {moved}."
    )

  def _save(self):
    if self._png:
      ui.download.content(self._png, "face.png", "image/png")

  async def _show_full_size(self):
    """Shows the result in full size."""
    if not self._shown:
      return
    self._status.say("Drawing it in full size.")
    try:
      png = await self._model.full_size(*self._shown)
    except latent_client.RequestError as error:
      self.fail(str(error))
      return
    self._status.say("")
    self._full_size.attribute(
      src=drawing.source(png), alt="The result, full size"
    )
    self._dialog.open()

  def _show_everyone(self, views, move):
    names = self._facts.attributes.names
    for column, (figure, view) in enumerate(zip(self._cells, views)):
      name = layout.spaced(names[column])
      position = "on" if move.targets[column, column] > 0.5 else "off"
      figure.show(
        view.png,
        f"{name} switched {position}",
        f"{name} {position} · read {view.probabilities[column]:.2f}",
      )


def progress(
  sampler: str, seconds: float, usual: float | None
) -> tuple[float | None, str]:
  """Returns the progress of a call in [0, 1], and in words.

  Args:
    sampler: The sampler that was called.
    seconds: The time that the call has taken so far.
    usual: Seconds of the same call before; None the first time.

  Returns:
    None instead of the number if it is unknown: at the first call, and when the
    call takes longer than the one before.
  """
  text = f"{sampler}: {seconds:.1f} s"
  if usual is None:
    return None, f"{text}. How long it takes is known after the first time."
  if seconds < usual:
    return seconds / usual, f"{text} of about {usual:.1f} s"
  return None, f"{text}, longer than the {usual:.1f} s before"
