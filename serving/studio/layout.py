"""Pieces of pages: the frame around each, pictures, sliders, bars."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence

from nicegui import ui

from serving.studio import drawing
from serving.studio import faces as faces_lib
from serving.studio import model as model_lib
from serving.studio import state as state_lib

_CSS = pathlib.Path(__file__).with_name("studio.css")
_PAGES = {"/": "Play", "/compare": "Compare samplers", "/run": "The run"}
_WHAT = {
  "/": "Choose a face and what it should have or not: the model changes that, "
  "and keeps the rest.",
  "/compare": "Choose a face and a request, and see how each way of changing "
  "it does.",
  "/run": "How the models behind these pages were trained, and how good they "
  "are.",
}
# A grey pixel, shown until there is a picture.
_NOTHING = (
  "data:image/gif;base64,R0lGODlhAQABAIAAAMLCwgAAACH5BAAAAAAALAAAAAABAAEAAAIC"
  "RAEAOw=="
)


@dataclasses.dataclass(frozen=True)
class Studio:
  """The parts that all pages share.

  Attributes:
    address: host:port of the server.
    model: Calls the server.
    faces: The faces to choose from.
    run_dir: The run to browse, or None.
  """

  address: str
  model: model_lib.Model
  faces: faces_lib.Faces
  run_dir: str | None


class Element(ui.element):
  """An element of HTML, with a text if it has one."""

  def __init__(self, tag: str, text: str = "", classes: str = "", **attributes):
    """Creates an element; in `attributes`, `_` stands for a hyphen."""
    super().__init__(tag)
    if text:
      self._text = text
    self.classes(classes)
    self.attribute(**attributes)

  def attribute(self, **attributes) -> None:
    """Sets HTML attributes; updates the page only if a value changes."""
    for key, value in attributes.items():
      key = key.replace("_", "-")
      if self._props.get(key) != value:
        self._props[key] = value
        self.update()

  def say(self, text: str) -> None:
    """Changes the text."""
    if self._text != text:
      self._text = text
      self.update()


class Card(Element):
  """A section with a heading, and perhaps a hint below it."""

  def __init__(
    self, heading: str, hint: str = "", label: str = "", classes: str = ""
  ):
    """Creates a card; screen readers read the label, or else the heading."""
    super().__init__(
      "section", classes=f"studio-card {classes}", aria_label=label or heading
    )
    with self:
      if heading:
        Element("h2", heading)
      if hint:
        Element("p", hint, "studio-hint")


class Slider(Element):
  """A slider for a number.

  The browser's native slider: Quasar's puts the focus on an element inside the
  one that has the label, so that screen readers do not read it.

  Attributes:
    value: The current value.
  """

  def __init__(
    self,
    label: str,
    value: float,
    low: float,
    high: float,
    step: float,
    on_change: Callable[[float], None],
  ):
    """Creates a slider; `on_change` is called with each new value."""
    super().__init__(
      "input",
      classes="studio-slider",
      type="range",
      aria_label=label,
      min=low,
      max=high,
      step=step,
    )
    self._keep(value)

    def moved(event):
      self._keep(round(float(event.args), 3))
      on_change(self.value)

    self.on(
      "input",
      moved,
      js_handler="event => emit(event.target.value)",
      throttle=0.05,
    )

  def move(self, value: float) -> None:
    """Sets the value, without a call of `on_change`."""
    self._keep(value)
    self.client.run_javascript(f"getHtmlElement({self.id}).value = {value}")

  def _keep(self, value):
    # The attribute (Vue's ^), not the property: each update of the page would
    # reset the property to the value sent last, while the user drags.
    self.value = self._props["^value"] = value


class Figure:
  """A picture with a caption."""

  def __init__(self, caption: str = "", shape: Sequence[int] = (1, 1)):
    """Creates a figure; `shape` is (height, width)."""
    with Element("figure").style(f"--shape: {shape[1]} / {shape[0]}"):
      self.image = Element("img", src=_NOTHING, alt="")
      self._caption = Element("figcaption", caption)

  def show(self, png: bytes, alt: str, caption: str | None = None) -> None:
    """Changes the picture, and the caption unless it is None."""
    self.image.attribute(src=drawing.source(png), alt=alt)
    if caption is not None:
      self._caption.say(caption)


class Bar:
  """A number in [0, 1] as a bar, with a mark at its previous value."""

  def __init__(self, name: str):
    """Creates three cells of a row."""
    Element("div", name, "studio-name")
    with Element(
      "div",
      classes="studio-bar",
      role="meter",
      aria_valuemin="0",
      aria_valuemax="1",
      aria_label=name,
    ) as self._meter:
      self._fill = Element("div").style("width: 0")
      self._mark = Element("i").style("left: 0")
    self._number = Element("div", "", "studio-number")

  def show(self, before: float, now: float) -> None:
    """Shows new numbers."""
    self._meter.attribute(
      aria_valuenow=f"{now:.2f}",
      aria_valuetext=f"{now:.2f}, before {before:.2f}",
    )
    self._fill.style(f"width: {100 * now:.1f}%")
    self._mark.style(f"left: calc({100 * before:.1f}% - 1px)")
    self._number.say(f"{before:.2f} → {now:.2f}")


@contextlib.contextmanager
def frame(studio: Studio, here: str, state: state_lib.State) -> Iterator[dict]:
  """Draws the frame of the page `here`, and yields the links to the others.

  The links contain the state.
  """
  ui.add_css(_CSS)
  links = {}
  with Element("header", classes="studio-top"):
    Element("h1", "Latent constraints")
    with Element("nav", aria_label="Pages"):
      for path, name in _PAGES.items():
        if path != "/run" or studio.run_dir:
          links[path] = Element("a", name, href=state.link(path))
          links[path].style("margin-right: 1rem")
          if path == here:
            links[path].attribute(aria_current="page")
    Element("p", _WHAT[here], "studio-what")

    def copy():
      ui.run_javascript("navigator.clipboard.writeText(location.href)")
      ui.notify("The link is copied: it shows this page as it is.")

    ui.button("Copy the link", on_click=copy).props(
      "flat dense no-caps size=sm"
    )
  down = Element("div", classes="studio-down", role="alert")

  def look():
    model = studio.model
    text = model.error
    if not model.up:
      text = (
        f"No answer from the server at {studio.address}. Asking again until "
        "it is back; changes that you make meanwhile are shown then."
      )
    elif not text and not model.facts:
      text = (
        f"Waiting for the server at {studio.address} to say what model it has. "
        "While it loads one, that can take minutes."
      )
    down.say(text)
    down.set_visibility(bool(text))
    calm = model.up and not model.error
    down.classes(**{"add" if calm else "remove": "studio-calm"})

  look()
  ui.timer(0.5, look)
  with Element("main") as main:
    yield links
  ui.skip_link(target=main)


def spaced(name: str) -> str:
  """Returns the name of an attribute with spaces."""
  return name.replace("_", " ")
