"""The first page: one face, wishes, and what becomes of it at once."""

import asyncio
import time

import numpy as np
from nicegui import ui

from serving import latent_client
from serving.studio import asking
from serving.studio import drawing
from serving.studio import layout
from serving.studio import state as state_lib
from serving.studio.controls import Controls
from serving.studio.layout import Element

_STEPS = 7  # Pictures of a trajectory, both ends included.
# A hand on a slider: what comes within so many seconds is one change.
_DEBOUNCE = 0.03
# A call that runs longer than this is not waited for when wishes change.
_QUICK = 0.4


class Play:
  """The page of one user."""

  def __init__(
    self, studio: layout.Studio, facts: asking.Facts, state: state_lib.State
  ):
    """Draws it."""
    self._studio = studio
    self._facts = facts
    self._running: asyncio.Task | None = None
    self._begun = 0.0
    self._call = "", 0, 0.0  # Whom, for how many wishes, and since when.
    self._asked = False  # Whether there is more than what is running.
    self._starts, self._moves, self._grids = _Last(), _Last(), _Last()
    self.links = {}
    with Element("div", classes="studio-play"):
      with Element(
        "section", classes="studio-card studio-stage", aria_label="Result"
      ):
        self._draw_stage()
      with Element(
        "section", classes="studio-card studio-controls", aria_label="Controls"
      ):
        self._controls = Controls(
          state, facts, studio.faces, self.changed, self.fail
        )
      with Element("div", classes="studio-more"):
        self._draw_more(state)

  def _draw_stage(self):
    shape = self._facts.image_shape
    with Element("div", classes="studio-pictures"):
      self._before = layout.Figure("Before", shape)
      self._after = layout.Figure("After", shape)
      self._difference = layout.Figure("What changed", shape)
    self._status = Element("div", "", "studio-status", role="status")
    self._error = Element("div", "", "studio-error", role="alert")
    with Element("div", classes="studio-busy studio-hidden") as self._busy:
      self._progress = ui.linear_progress(0.0, show_value=False, size="8px")
      self._progress.props('aria-label="Progress" instant-feedback')
      self._elapsed = Element("span", "", "studio-number")
      ui.button("Stop", on_click=self.stop).props("dense outline no-caps")

  def _draw_more(self, state):
    shape = self._facts.image_shape
    with Element("section", classes="studio-card", aria_label="Trajectory"):
      Element("h2", "From start to result")
      Element(
        "p",
        "By strength. How far the face has moved is in widths of its own "
        "posterior: what it could as well have been encoded as is at about 1."
        if self._facts.encodes
        else "By strength, and how far the face has moved.",
        "studio-hint",
      )
      with Element("div", classes="studio-strip"):
        self._strip = [layout.Figure(" ", shape) for _ in range(_STEPS)]
    with Element("section", classes="studio-card", aria_label="Verdicts"):
      Element("h2", "What the critics read: before → after")
      Element(
        "p",
        "Networks judge the latent vector: how realistic it is, and what it "
        "shows. The bar is after, the mark before.",
        "studio-hint",
      )
      with Element("div", classes="studio-bars"):
        self._realism = layout.Bar("Realism")
        self._bars = [
          layout.Bar(name.replace("_", " "))
          for name in self._facts.attributes.names
        ]
    with Element("section", classes="studio-card", aria_label="Grid"):
      Element("h2", "Same person, every attribute")
      everyone = ui.checkbox(
        "Switch each attribute alone",
        value=state.everyone,
        on_change=lambda event: self._controls.change(everyone=event.value),
      )
      with Element("div", classes="studio-grid") as self._grid:
        self._cells = [
          layout.Figure(name.replace("_", " "), shape)
          for name in self._facts.attributes.names
        ]
      self._grid.bind_visibility_from(everyone, "value")

  def changed(self) -> None:
    """Shows another state: in the link, and soon in the pictures."""
    state = self._controls.state
    for path, link in self.links.items():
      link.attribute(href=layout.link(path, state))
    ui.navigate.history.replace(layout.link("/", state))
    self.ask()

  def ask(self) -> None:
    """Asks for what the controls say, once what is asked now is done.

    What takes long is stopped: nobody waits for it any more.
    """
    self._asked = True
    if self._running and not self._running.done():
      if time.monotonic() - self._begun < _QUICK:
        return
      self._running.cancel()
    self._begun = time.monotonic()
    self._running = asyncio.create_task(self._work())

  def stop(self) -> None:
    """Ends the call, at the server too."""
    self.leave()
    self._status.say("Stopped.")
    self._busy.classes(add="studio-hidden")

  def leave(self) -> None:
    """Ends the call: the user has gone."""
    self._asked = False
    if self._running:
      self._running.cancel()

  def fail(self, sentence: str) -> None:
    """Says what went wrong."""
    self._error.say(sentence)

  def tick(self) -> None:
    """Shows how far a call is that takes long."""
    running = self._running
    seconds = time.monotonic() - self._begun
    if not running or running.done() or seconds < _QUICK:
      return
    if self._asked:
      self.ask()
      return
    sampler, count, begun = self._call
    part, text = how_far(
      sampler,
      time.monotonic() - begun,
      self._studio.asker.usual.get((sampler, count)),
    )
    self._busy.classes(remove="studio-hidden")
    if part is None:
      self._progress.props("indeterminate")
    else:
      self._progress.props(remove="indeterminate")
      self._progress.value = part
    self._elapsed.say(text)

  async def _work(self):
    """Asks until nothing more is asked for."""
    try:
      while self._asked:
        self._asked = False
        self._begun = time.monotonic()
        await asyncio.sleep(_DEBOUNCE)
        state = self._controls.state
        self._call = state.sampler, 1, self._begun
        try:
          await self._answer(state)
        except (latent_client.RequestError, ValueError) as error:
          self.fail(str(error))
          self._status.say("")
    finally:
      # Unless another has begun, which this was stopped for.
      if self._running is asyncio.current_task():
        self._busy.classes(add="studio-hidden")

  async def _answer(self, state):
    asker = self._studio.asker
    face = self._studio.faces.picture(state.face, self._facts.image_shape)
    # A server that comes back may have another version of the model.
    key = self._studio.watch.returns, state.face, state.seed
    start = await self._starts.get(
      key, lambda: asker.start(self._facts, face, state.seed)
    )
    key = *key, state.wishes, state.sampler, state.realism_weight
    move = await self._moves.get(
      key, lambda: asker.move(self._facts, start, state, [state.wishes])
    )
    strengths = np.linspace(0.0, state.strength, _STEPS)
    views = await asker.views(move, strengths)
    self._show(views, strengths, move)
    if state.everyone:
      await self._show_everyone(key, start, state, views[0])

  def _show(self, views, strengths, move):
    first, last = views[0], views[-1]
    self.fail("")
    self._before.show(first.png, "The face as the model draws it")
    self._after.show(last.png, "The face with the wishes")
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
    for bar, before, now in zip(
      self._bars, first.probabilities, last.probabilities
    ):
      bar.show(float(before), float(now))
    seconds = time.monotonic() - self._begun
    verdict = "as asked" if move.converged[0] else "not all as asked"
    self._status.say(
      f"{self._controls.state.sampler}, {1000 * seconds:.0f} ms. At strength "
      f"1, the model’s own critics find it {verdict}. Moved by "
      f"{last.distance:.2f}."
    )

  async def _show_everyone(self, key, start, state, before):
    asker = self._studio.asker
    names = self._facts.attributes.names
    wishes = [
      [(name, float(read <= 0.5))]
      for name, read in zip(names, before.probabilities)
    ]
    self._call = state.sampler, len(wishes), time.monotonic()
    move = await self._grids.get(
      (*key[:3], *key[4:]),
      lambda: asker.move(self._facts, start, state, wishes),
    )
    ends = await asker.ends(move, state.strength)
    for column, (figure, view) in enumerate(zip(self._cells, ends)):
      name = names[column].replace("_", " ")
      on = move.values[column, column] > 0.5
      read = float(view.probabilities[column])
      figure.show(
        view.png,
        f"{name} switched {'on' if on else 'off'}",
        f"{name} {'on' if on else 'off'} · read {read:.2f}",
      )


def how_far(
  sampler: str, seconds: float, usual: float | None
) -> tuple[float | None, str]:
  """Returns how far a call is, in [0, 1], and that in words.

  Args:
    sampler: Who was asked.
    seconds: Ago.
    usual: What the same took before; None if it was never asked.

  Returns:
    None in place of the number if nothing tells how far it is: the first time,
    and when it takes longer than before.
  """
  if usual is None:
    return None, (
      f"{sampler}: {seconds:.1f} s. How long it takes is known after the first "
      "time."
    )
  if seconds < usual:
    return seconds / usual, f"{sampler}: {seconds:.1f} s of about {usual:.1f} s"
  return (
    None,
    f"{sampler}: {seconds:.1f} s, longer than the {usual:.1f} s before",
  )


class _Last:
  """The last answer, for as long as the same is asked."""

  def __init__(self):
    self._key = self._value = None

  async def get(self, key, ask):
    """Returns the answer to a question, asking unless it is the last one."""
    if self._value is None or key != self._key:
      value = await ask()
      self._key, self._value = key, value
    return self._value
