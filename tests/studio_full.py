"""The rest of the studio's tests in a browser: `make test-browser`."""

from absl.testing import absltest
from absl.testing import parameterized

from tests import painted_faces
from tests import studio_browser


class PagesTest(studio_browser.TestCase, parameterized.TestCase):
  def _complete(self, path, page):
    """Opens a page and waits until it is complete."""
    page.goto(self.address + path)
    if path == "/":
      self.answered(page)
    elif path == "/compare":
      page.get_by_text("samplers, one after the other").wait_for()
    else:
      page.locator("canvas").first.wait_for()
      page.frame_locator("iframe").get_by_role("heading").wait_for()

  @parameterized.product(
    path=("/", "/compare", "/run"),
    look=((360, "light"), (360, "dark"), (1600, "light")),
  )
  def test_fits_and_can_be_read(self, path, look):
    width, scheme = look
    page = self.user(
      viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    self._complete(path, page)
    self.assertLessEqual(
      page.evaluate("document.documentElement.scrollWidth"), width
    )
    # Text and background have contrast in both modes.
    ink, ground = page.evaluate(
      """() => {
        const style = getComputedStyle(document.body);
        const light = text => text.match(/\\d+/g).slice(0, 3).map(Number)
          .reduce((sum, one) => sum + one, 0) / 3;
        return [light(style.color), light(style.backgroundColor)];
      }"""
    )
    self.assertGreater((ink - ground) * (1 if scheme == "dark" else -1), 150)

  @parameterized.parameters("/", "/compare", "/run")
  def test_everything_has_a_name(self, path):
    page = self.page
    self._complete(path, page)
    self.assertEqual(page.locator("html").get_attribute("lang"), "en-US")
    for role in ("button", "slider", "checkbox", "combobox", "link", "meter"):
      found = page.get_by_role(role)
      named = page.get_by_role(role, name=studio_browser.ANY)
      with self.subTest(role=role):
        self.assertEqual(named.count(), found.count())
    for picture in page.locator("figure img:visible").all():
      self.assertNotEmpty(picture.get_attribute("alt"))

  def test_all_of_it_by_keyboard(self):
    page = self.open("/?face=data:0")
    page.keyboard.press("Tab")
    self.assertEqual(
      page.evaluate("document.activeElement.innerText"), "Skip to main content"
    )
    focused = """() => {
      const one = document.activeElement, inside = one.closest('[role=group]');
      return [inside?.ariaLabel ?? '', one.ariaLabel ?? one.innerText]
        .join('/').trim();
    }"""
    reached = []
    for _ in range(60):
      page.keyboard.press("Tab")
      reached.append(page.evaluate(focused))
      if reached[-1] == "Hat/with":
        page.keyboard.press("Enter")
      if reached[-1].endswith("Strength"):
        page.keyboard.press("End")
    for name in (
      "Face/Picture 2",
      "/Upload a picture",
      "Hat/with",
      "/Strength",
    ):
      self.assertIn(name, reached)
    self.wait_shown(lambda has, _: has[0] > 0.9)
    self.assertIn("strength=2", page.url)


class ErrorsTest(studio_browser.TestCase, parameterized.TestCase):
  def _alert(self, text):
    self.page.get_by_role("alert").filter(has_text=text).wait_for()

  def test_a_file_that_is_no_picture(self):
    page = self.open("/?face=data:0")
    page.locator("input[type=file]").set_input_files(
      {"name": "me.txt", "mimeType": "text/plain", "buffer": b"I am a text."}
    )
    self._alert("me.txt cannot be read as a picture")
    # And the page still works.
    self.switch("Hat", "with")
    self.wait_shown(lambda has, _: has[0] > 0.8)

  @parameterized.parameters(
    ("?strength=9", "This link makes no sense: strength=9"),
    ("?sampler=magic", "cannot transform by 'magic'"),
    ("?want=Hat&want=Beard&want=Bright_Mouth&want=Glasses", "That is too much"),
  )
  def test_a_link_that_nobody_can_answer(self, query, sentence):
    self.page.goto(f"{self.address}/{query}")
    self._alert(sentence)


class PlayTest(studio_browser.TestCase):
  def test_upload(self):
    page = self.open("/?face=data:0")
    page.locator("input[type=file]").set_input_files(
      {
        "name": "me.tiff",
        "mimeType": "image/*",
        "buffer": painted_faces.file(0.9, "TIFF", (301, 200)),
      }
    )
    self.wait_shown(lambda _, who: who > 0.8)
    uploaded = page.get_by_role("button", name="Uploaded picture")
    self.assertEqual(uploaded.get_attribute("aria-pressed"), "true")
    # The link has the upload, and its button selects it again.
    other = self.open(page.url.removeprefix(self.address), self.user())
    self.assertEqual(self.shown(page=other), self.shown())
    page.get_by_role("button", name="Picture 1").click()
    self.wait_shown(lambda _, who: who < 0.4)
    uploaded.click()
    self.wait_shown(lambda _, who: who > 0.8)

  def test_a_picture_that_is_dropped_on_the_page(self):
    page = self.open("/?face=data:0")
    transfer = page.evaluate_handle(
      """bytes => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], "me.png"));
        return transfer;
      }""",
      list(painted_faces.file(0.9)),
    )
    page.locator("main").locator("figure").first.dispatch_event(
      "drop", {"dataTransfer": transfer}
    )
    self.wait_shown(lambda _, who: who > 0.8)

  def test_what_rules_out_takes_back(self):
    page = self.open("/?want=Hat&face=data:0")
    self.wait_shown(lambda has, _: has[0] > 0.8)
    self.switch("Glasses", "with")
    self.wait_shown(lambda has, _: has[1] > 0.8 and has[0] < 0.4)
    self.assertNotIn("Hat", page.url)

  def test_same_person_every_attribute(self):
    page = self.open("/?face=data:1")
    page.get_by_text("Switch each attribute alone").click()
    for number, name in enumerate(painted_faces.NAMES):
      label = name.replace("_", " ")
      text = page.get_by_text(f"{label} off · read")
      text.wait_for()
      figure = page.locator("figure", has=text).locator("img")
      self.assertEqual(figure.get_attribute("alt"), f"{label} switched off")
      has, who = self.shown(text.inner_text())
      self.assertLess(has[number], 0.2)
      self.assertGreater(min(has[:number] + has[number + 1 :] + [who]), 0.6)
    self.assertIn("everyone=1", page.url)


class CompareTest(studio_browser.TestCase):
  def test_samplers_on_the_same_request(self):
    page = self.page
    page.goto(self.address + "/compare?face=data:0&want=Hat")
    cards = {}
    for name in ("actor", "search", "slow"):
      cards[name] = page.get_by_role("region", name=name, exact=True)
      cards[name].get_by_text("Evaluations").wait_for()
      text = cards[name].inner_text()
      for part in (" ms", "Identity: moved by", "Realism", "(asked: 1)"):
        self.assertIn(part, text)
      self.assertEqual(cards[name].locator("img").count(), 1)
    # All samplers got the same request, with weight 1.
    sources = {
      card.locator("img").get_attribute("src") for card in cards.values()
    }
    self.assertLen(sources, 1)
    self.slide("Realism weight", "ArrowRight", 10)
    page.get_by_text("Press Compare").wait_for()
    # The link to the other page has the state.
    page.get_by_role("link", name="Play").click()
    self.wait_shown(lambda has, _: has[0] > 0.8)
    self.assertIn("realism_weight=2", page.url)


class RunTest(studio_browser.TestCase):
  def test_curves_grids_and_report(self):
    page = self.page
    page.goto(self.address + "/run")
    page.get_by_role("region", name="Curves").locator("canvas").wait_for()
    picture = page.get_by_role("region", name="samples").locator("img")
    self.assertEqual(picture.get_attribute("alt"), "samples at step 20")
    self.slide("samples: when", "ArrowLeft")
    page.get_by_text("Step 10").wait_for()
    self.wait(lambda: picture.evaluate("one => one.naturalWidth") == 4)
    report = page.frame_locator("iframe")
    report.get_by_role("heading", name="What was measured").wait_for()

  def test_what_is_not_there(self):
    for path in (
      "/run/grid?stage=vae&name=samples&step=7",
      "/run/grid?stage=../vae&name=samples&step=10",
      "/run/report/%2e%2e/vae/log.csv",
      "/run/report/../../vae/log.csv",
    ):
      with self.subTest(path=path):
        answer = self.page.request.get(self.address + path)
        self.assertEqual(answer.status, 404)


if __name__ == "__main__":
  absltest.main()
