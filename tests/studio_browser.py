"""Test case of the studio, with a server and Debian's Chromium."""

import atexit
import base64
import functools
import os
import re
import shutil
import tempfile
import threading
import time

import uvicorn
from absl.testing import absltest
from playwright import sync_api

from serving.studio import application
from serving.studio import faces
from tests import painted_faces
from tests import running_server

_CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
]
# Any text.
ANY = re.compile(r"\S")
_ANSWERED = re.compile("has moved by|Nothing is asked")
_PATIENCE = 1000.0 * running_server.PATIENCE  # Playwright's milliseconds.


class Studio:
  """A server of painted faces, and a studio for it.

  A process can have one only, since NiceGUI is one application.

  Attributes:
    running: The server; None if there is none.
    address: URL of the pages.
  """

  def __init__(self):
    """Starts both; the studio ends with the process.

    The server must be stopped before: at the end of a process, Python closes
    thread pools first, and a server that is called then never stops.
    """
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    self._folder = folder
    for encodes in (True, False):
      export = os.path.join(folder, f"encodes_{encodes}", "1")
      painted_faces.write(export, encodes)
    pictures = os.path.join(folder, "faces")
    os.makedirs(pictures)
    for name, light in (("a.png", 0.2), ("b.png", 0.8)):
      with open(os.path.join(pictures, name), "wb") as file:
        file.write(painted_faces.file(light))
    run_dir = os.path.join(folder, "run")
    write_run(run_dir)
    self._port = 0
    self.running = None
    self.serve()
    web = uvicorn.Server(
      uvicorn.Config(
        application.build(
          self.running.address,
          "default",
          faces.find(pictures, None, "", 9),
          run_dir,
          full_size_model="default",  # Of the same size, for the tests.
        ),
        host="localhost",
        port=0,
        log_level="warning",
      )
    )
    thread = threading.Thread(target=web.run, daemon=True)
    thread.start()
    atexit.register(thread.join)
    atexit.register(setattr, web, "should_exit", True)
    for _ in running_server.attempts():
      if web.started:
        break
    port = web.servers[0].sockets[0].getsockname()[1]
    self.address = f"http://localhost:{port}"

  def serve(self, encodes=True):
    """Starts a server for a model with or without an encoder."""
    if not self.running:
      self.running = running_server.RunningServer(
        model_name="default",
        model_base_path=os.path.join(self._folder, f"encodes_{encodes}"),
        port=self._port,
      )
      self._port = self.running.server.port

  def stop(self):
    """Ends the server."""
    self.running.stop()
    self.running = None


_studio = functools.cache(Studio)


class TestCase(absltest.TestCase):
  """A test case with one browser; each test is another user.

  Pages may request nothing from other machines.
  """

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.studio = _studio()
    cls.studio.serve()
    cls.addClassCleanup(cls.studio.stop)
    cls.address = cls.studio.address
    # Not for the whole process: while Playwright runs, no other event loop can
    # run in this thread.
    cls.browser = cls._browser()

  @classmethod
  def _browser(cls):
    if not os.path.exists(_CHROMIUM):
      raise AssertionError(
        f"{_CHROMIUM} is missing: run tools/install.sh chromium."
      )
    # Bazel sets no home folder, which Chromium needs.
    home = tempfile.mkdtemp()
    cls.addClassCleanup(shutil.rmtree, home, ignore_errors=True)
    playwright = sync_api.sync_playwright().start()
    cls.addClassCleanup(playwright.stop)
    browser = playwright.chromium.launch(
      executable_path=_CHROMIUM,
      args=_ARGUMENTS,
      env={**os.environ, "HOME": home},
    )
    cls.addClassCleanup(browser.close)
    return browser

  def setUp(self):
    super().setUp()
    self.elsewhere, self.complaints = [], []
    self.page = self.user()

  def tearDown(self):
    self.assertEmpty(self.elsewhere, "asked another machine")
    self.assertEmpty(self.complaints, "said by the browser's console")
    super().tearDown()

  def user(self, **options):
    """Returns a page of another user."""
    context = self.browser.new_context(
      **{"viewport": {"width": 1280, "height": 900}} | options
    )
    self.addCleanup(context.close)
    context.set_default_timeout(_PATIENCE)
    page = context.new_page()
    page.on("request", self._note)
    page.on("pageerror", lambda error: self.complaints.append(str(error)))
    return page

  def _note(self, request):
    if not request.url.startswith((self.address, "data:", "blob:")):
      self.elsewhere.append(request.url)

  def open(self, path="/", page=None):
    """Opens a page and waits for its answer."""
    page = page or self.page
    page.goto(self.address + path)
    self.answered(page)
    return page

  def restart(self, meanwhile=lambda: None, encodes=True):
    """Stops the server until the page has noticed, and starts it again.

    Calls a function meanwhile; then the model has an encoder or none.
    """
    alert = self.page.get_by_role("alert").filter(has_text="No answer")
    self.studio.stop()
    alert.wait_for()
    meanwhile()
    self.studio.serve(encodes)
    alert.wait_for(state="hidden")

  def answered(self, page=None):
    """Waits for an answer of the server."""
    page = page or self.page
    status = page.get_by_role("status")
    status.filter(has_text=_ANSWERED).first.wait_for()

  def shown(self, caption="After", page=None):
    """Waits for a picture; returns its attributes and its identity."""
    page = page or self.page
    figure = page.locator("figure", has=page.get_by_text(caption, exact=True))
    # A new page has a placeholder of another type until the answer.
    picture = figure.locator("img[src^='data:image/png;base64,']").first
    data = picture.get_attribute("src").partition(",")[2]
    return painted_faces.read(base64.b64decode(data))

  def wait(self, condition, page=None):
    """Waits until a function returns something true, and returns that."""
    end = time.monotonic() + running_server.PATIENCE
    while time.monotonic() < end:
      if found := condition():
        return found
      self.page.wait_for_timeout(20)
    text = (page or self.page).inner_text("body")
    self.fail(f"It does not come to that: {self.shown('After', page)}\n{text}")

  def wait_shown(self, condition, caption="After", page=None):
    """Waits until the picture shows the expected values."""
    return self.wait(lambda: condition(*self.shown(caption, page)), page)

  def switch(self, name, position, page=None):
    """Presses one of an attribute's three positions."""
    page = page or self.page
    group = page.get_by_role("group", name=name)
    group.get_by_role("button", name=position, exact=True).click()

  def slide(self, name, key, times=1, page=None):
    """Moves a slider by its keys."""
    slider = (page or self.page).get_by_role("slider", name=name)
    # It may still be disabled by the last sampler: keys would be lost.
    sync_api.expect(slider).to_be_enabled(timeout=_PATIENCE)
    slider.focus()
    for _ in range(times):
      slider.press(key)


def write_run(folder: str) -> None:
  """Writes a run folder to browse."""
  import tensorflow as tf

  stage = os.path.join(folder, "vae")
  os.makedirs(stage)
  with open(os.path.join(stage, "log.csv"), "w") as file:
    file.write("step,loss,val_loss\n10,3.5,4\n20,2.5,nan\n")
  writer = tf.summary.create_file_writer(os.path.join(stage, "tensorboard"))
  with writer.as_default():
    for step in (10, 20):
      tf.summary.image("samples", tf.fill([1, 4, 4, 3], step / 20.0), step)
  writer.close()
  os.makedirs(os.path.join(folder, "report"))
  with open(os.path.join(folder, "report", "index.html"), "w") as file:
    file.write("<title>Report</title><h1>What was measured</h1>")


def still(read, seconds=0.3):
  """Returns whether a number does not change for a while."""
  before = read()
  time.sleep(seconds)
  return read() == before
