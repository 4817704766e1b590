"""The controls of a page: a face, a switch per attribute, dials."""

import asyncio
import dataclasses
from collections.abc import Callable

from nicegui import background_tasks
from nicegui import events
from nicegui import ui

from serving import latent_client
from serving.studio import drawing
from serving.studio import faces as faces_lib
from serving.studio import model as model_lib
from serving.studio import state as state_lib
from serving.studio.layout import Element
from serving.studio.layout import Slider

_LARGEST_FILE = 32 * 2**20
# Positions of a switch, and the target that each stands for.
_TARGETS = {"without": 0.0, "any": None, "with": 1.0}


class Controls:
  """Controls of one page of one user.

  Attributes:
    state: The settings of the user.
  """

  def __init__(
    self,
    state: state_lib.State,
    facts: model_lib.Facts,
    faces: faces_lib.Faces,
    on_change: Callable[[], None],
    on_error: Callable[[str], None],
    all_samplers: bool = False,
  ):
    """Draws the controls.

    Args:
      state: The first settings.
      facts: The facts about the model.
      faces: The faces to choose from.
      on_change: Called after each change of the state.
      on_error: Called with a sentence about a change that cannot be made.
      all_samplers: Whether the page calls all samplers: then none is chosen.
    """
    self.state = state
    self._facts = facts
    self._faces = faces
    self._on_change = on_change
    self._on_error = on_error
    self._all_samplers = all_samplers
    self._face_buttons = {}
    self._switches = {}
    self._levels = {}
    Element("h2", "Face")
    self._draw_faces()
    Element("h2", "Request")
    for name in facts.attributes.names:
      self._draw_attribute(name)
    _button("Reset", self._reset)
    Element("h2", "How")
    self._draw_dials()

  def take_drops(self, area: ui.element) -> None:
    """Uploads pictures that are dropped on an element."""
    if not self._facts.encodes:
      return
    # Without "dragover", the browser would open the picture instead.
    area.on("dragover", js_handler="event => event.preventDefault()")
    area.on(
      "drop",
      js_handler=f"""event => {{
        event.preventDefault();
        const file = event.dataTransfer.files[0];
        if (file) runMethod({self._upload.id}, "addFiles", [[file]]);
      }}""",
    )

  def change(self, **fields) -> None:
    """Changes the state, and calls `on_change`."""
    self._become(dataclasses.replace(self.state, **fields))

  def _become(self, state):
    if state != self.state:
      self.state = state
      self._show_face()
      self._on_change()

  def _draw_faces(self):
    with Element(
      "div", classes="studio-faces", role="group", aria_label="Face"
    ):
      self._face_button(state_lib.PRIOR, "Random, drawn from the prior")
      images = {}
      for number in range(len(self._faces) if self._facts.encodes else 0):
        face = f"{state_lib.DATA}:{number}"
        images[face] = self._face_button(face, f"Picture {number + 1}")
      self._fill(images)
      # The last upload.
      with Element("button", aria_label="Uploaded picture", type="button") as b:
        self._uploaded_image = Element("img", alt="")
      self._uploaded, self._uploaded_face = b, ""
      b.on("click", lambda: self.change(face=self._uploaded_face))
    if self._facts.encodes:
      upload = ui.upload(
        auto_upload=True,
        max_file_size=_LARGEST_FILE,
        on_upload=self._take,
        on_rejected=lambda: self._on_error(
          f"The file is larger than {_LARGEST_FILE // 2**20} MB: choose a "
          "smaller picture."
        ),
      ).classes("studio-hidden")
      self._upload = upload
      _button("Upload a picture", lambda: upload.run_method("pickFiles"))
      Element("span", "or drop one on this page", "studio-name")
    else:
      Element(
        "p",
        "This model has no encoder, so it cannot take a picture: faces are "
        "drawn from its prior. Another seed is another face.",
        "studio-hint",
      )
    _button("Another random face", self._another)
    self._show_face()

  def _face_button(self, face, label):
    text = "Random" if face == state_lib.PRIOR else ""
    with Element("button", text, aria_label=label, type="button") as button:
      image = None if text else Element("img", alt="")
    button.on("click", lambda: self.change(face=face))
    self._face_buttons[face] = button
    return image

  def _fill(self, images):
    """Draws pictures of faces in a background task."""

    def source(face):
      pixels = self._faces.picture(face, self._facts.preprocessing)
      return drawing.source(drawing.png(pixels))

    async def fill():
      for face, image in images.items():
        try:
          # In a thread: it may take a second, and users share the event loop.
          image.attribute(src=await asyncio.to_thread(source, face))
        except ValueError as error:
          self._on_error(str(error))
          return

    background_tasks.create(fill())

  def _show_face(self):
    for face, button in self._face_buttons.items():
      pressed = "true" if self.state.face == face else "false"
      button.attribute(aria_pressed=pressed)
    uploaded = self.state.face.startswith(state_lib.UPLOAD)
    self._uploaded.attribute(aria_pressed="true" if uploaded else "false")
    if uploaded and self.state.face != self._uploaded_face:
      self._uploaded_face = self.state.face
      self._fill({self.state.face: self._uploaded_image})
    self._uploaded.set_visibility(bool(self._uploaded_face))

  async def _take(self, event: events.UploadEventArguments):
    data = await event.file.read()
    self._upload.reset()
    try:
      face = await asyncio.to_thread(
        self._faces.take, data, event.file.name, self._facts.preprocessing
      )
    except ValueError as error:
      self._on_error(str(error))
    else:
      self.change(face=face)

  def _draw_attribute(self, name):
    label = name.replace("_", " ")
    with Element("div", classes="studio-attribute"):
      Element("div", label, "studio-name")
      with Element("div", role="group", aria_label=label):
        switch = ui.toggle(
          list(_TARGETS),
          value=self._position(name),
          on_change=lambda event: self._switched(name, event.value),
        )
        switch.props("no-caps dense unelevated toggle-color=primary")
        switch.props("toggle-text-color=on-primary")
      self._switches[name] = switch
      self._mark(name)
      if name in self._facts.attributes.continuous:
        level = Slider(
          f"How much {label}",
          self.state.target(name) or 0.0,
          *(0.0, 1.0, 0.05),
          lambda value: self._levelled(name, value),
        )
        level.set_visibility(self.state.target(name) is not None)
        self._levels[name] = level

  def _position(self, name):
    target = self.state.target(name)
    return "any" if target is None else "with" if target > 0.0 else "without"

  def _mark(self, name):
    """Greys out an attribute that is left open."""
    is_open = self.state.target(name) is None
    change = {"add" if is_open else "remove": "studio-open"}
    self._switches[name].classes(**change)

  def _switched(self, name, position):
    if position == self._position(name):
      return  # Set by a slider or by another switch.
    target = _TARGETS[position]
    state = self.state.with_target(name, target)
    attributes = self._facts.attributes
    if target:
      column = attributes.index(name)
      for other, excluded in zip(attributes.names, attributes.excludes[column]):
        if excluded and state.target(other):
          state = state.with_target(other, None)
    self._become(state)
    # Updates the switches of excluded attributes, and the slider.
    for other, switch in self._switches.items():
      switch.value = self._position(other)
      self._mark(other)
    if name in self._levels:
      self._levels[name].set_visibility(target is not None)
      if target is not None:
        self._levels[name].move(target)

  def _reset(self):
    """Leaves all attributes open."""
    for name in self._switches:
      self._switched(name, "any")

  def _another(self):
    """Draws another face from the prior."""
    self._seed.value = (self.state.seed + 1) % 1000
    self.change(face=state_lib.PRIOR)

  def _levelled(self, name, target):
    if self.state.target(name) is not None:
      self._become(self.state.with_target(name, target))
      self._switches[name].value = self._position(name)

  def _draw_dials(self):
    state = self.state
    self._dial("Strength", "strength", state_lib.LARGEST_STRENGTH, 0.05)
    weight = self._dial(
      "Realism weight", "realism_weight", state_lib.LARGEST_REALISM_WEIGHT, 0.1
    )

    def weighs(sampler):
      # The actor's weight is that of its training.
      idle = sampler == latent_client.ACTOR and not self._all_samplers
      weight.attribute(disabled=idle)

    def chosen(event):
      weighs(event.value)
      self.change(sampler=event.value)

    with Element("div", classes="studio-fields"):
      samplers = list(self._facts.samplers)
      if state.sampler not in samplers:
        samplers.append(state.sampler)  # The server's error has the reason.
      if not self._all_samplers and len(samplers) > 1:
        ui.select(
          samplers, value=state.sampler, label="Sampler", on_change=chosen
        ).props("outlined dense")
      self._seed = ui.number(
        "Seed",
        value=state.seed,
        step=1,
        precision=0,
        on_change=self._seeded,
      ).props("outlined dense debounce=300")
    weighs(state.sampler)

  def _dial(self, label, field, largest, step):
    def moved(value):
      number.say(f"{value:.2f}")
      self.change(**{field: value})

    with Element("div", classes="studio-dial"):
      Element("span", label)
      slider = Slider(
        label, getattr(self.state, field), 0.0, largest, step, moved
      )
      number = Element("output", f"{slider.value:.2f}")
    return slider

  def _seeded(self, event):
    try:
      seed = int(event.value)
      state_lib.from_query(f"seed={seed}")
    except (TypeError, ValueError):
      self._on_error("The seed is a whole number of 64 bits, such as 7.")
    else:
      self.change(seed=seed)


def _button(text, on_click):
  button = ui.button(text, on_click=on_click)
  button.props("outline no-caps dense padding='2px 10px'")
  button.style("margin: 0.2rem 0.4rem 0 0")
