"""The three pages as one web application."""

import asyncio
import contextlib
import os

import fastapi
from nicegui import app as nicegui_app
from nicegui import ui

from serving import latent_client
from serving.studio import browse
from serving.studio import compare
from serving.studio import faces as faces_lib
from serving.studio import layout
from serving.studio import model as model_lib
from serving.studio import play
from serving.studio import run_folder
from serving.studio import state as state_lib

# Seconds that a call waits, also for a server that restarts.
_TIMEOUT = 600.0
_TICK = 0.1


def build(
  address: str,
  model_name: str,
  faces: faces_lib.Faces,
  run_dir: str | None = None,
  full_size_model: str | None = None,
  **connection,
) -> fastapi.FastAPI:
  """Returns the application; a process can have one.

  Args:
    address: host:port of a server's gRPC.
    model_name: The server's name of the model.
    faces: The faces to choose from.
    run_dir: A run to browse.
    full_size_model: The server's name of a model whose `decode` makes larger
      images of the same latents, if there is one.
    **connection: Further arguments of `latent_client.AsyncLatentClient`.
  """
  about = {}

  @contextlib.asynccontextmanager
  async def life(_):
    client = latent_client.AsyncLatentClient(
      address, model_name, _TIMEOUT, **connection
    )
    full_size = full_size_model and latent_client.AsyncLatentClient(
      address, full_size_model, _TIMEOUT, **connection
    )
    model = model_lib.Model(client, full_size)
    about["studio"] = layout.Studio(address, model, faces, run_dir)
    watching = asyncio.create_task(model.watch())
    yield
    watching.cancel()
    for one in filter(None, (client, full_size)):
      await one.close()

  web = fastapi.FastAPI(lifespan=life, openapi_url=None)
  for page in (play.Play, compare.Compare):
    _add_page(page, about)
  if run_dir:
    _add_run(run_dir, about)
  ui.run_with(
    web, title="Latent constraints", dark=None, language="en-US", tailwind=False
  )
  return web


def _add_page(page, about):
  @ui.page(page.path)
  async def show(request: fastapi.Request):
    studio, state = about["studio"], state_lib.State()
    error = ""
    try:
      state = state_lib.from_query(request.url.query)
    except ValueError as bad:
      error = f"This link makes no sense: {bad}"
    with layout.frame(studio, page.path, state) as links:
      body = layout.Element("div")
    _Visit(studio, state, error, page, body, links)


class _Visit:
  """One user on one page; waits for the server, then draws the page."""

  def __init__(self, studio, state, error, make, body, links):
    self._studio = studio
    self._state = state
    self._error = error
    self._make = make
    self._body = body
    self._links = links
    self._page = self._facts = None
    self._returns = 0
    self._tick()
    ui.timer(_TICK, self._tick)
    ui.context.client.on_delete(lambda: self._page and self._page.leave())

  def _tick(self):
    model = self._studio.model
    if self._page:
      if model.returns != self._returns:
        self._returns = model.returns
        if model.facts.same_as(self._facts):
          self._page.ask()
        else:
          ui.navigate.reload()
      self._page.tick()
    elif model.facts:
      self._facts, self._returns = model.facts, model.returns
      with self._body:
        self._page = self._make(self._studio, self._state)
      self._page.links.update(self._links)
      if self._error:
        self._page.fail(self._error)
      else:
        self._page.ask()


def _add_run(run_dir, about):
  if os.path.exists(os.path.join(run_dir, run_folder.REPORT)):
    nicegui_app.add_static_files(
      "/run/report", os.path.join(run_dir, os.path.dirname(run_folder.REPORT))
    )

  @ui.page("/run")
  async def show(stage: str | None = None):
    with layout.frame(about["studio"], "/run", state_lib.State()):
      browse.Browse(run_dir, stage)

  @nicegui_app.get("/run/grid")
  def grid(stage: str, name: str, step: int):
    png = browse.grid(run_dir, stage, name, step)
    if png is None:
      raise fastapi.HTTPException(404)
    return fastapi.Response(png, media_type="image/png")
