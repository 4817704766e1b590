"""Tests of the studio: its links, and the first page in a browser.

`make test-browser` also runs studio_full.py.
"""

import asyncio
import base64
import io
import socket
import subprocess
import sys
import urllib.parse
import urllib.request

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
from PIL import Image

import lc_keras
from lc_keras import run_folder
from lc_keras.data import preprocessing
from serving import latent_client
from serving.studio import drawing
from serving.studio import faces
from serving.studio import model
from serving.studio import play
from serving.studio import state
from tests import painted_faces
from tests import studio_browser

_SHAPE = (12, 8, 3)
_IMAGE = preprocessing.Preprocessing(_SHAPE)
_NAMES = strategies.text(min_size=1)
_STATES = strategies.builds(
  state.State,
  face=strategies.one_of(
    strategies.just("prior"),
    strategies.integers(0, 2**31).map("data:{}".format),
    _NAMES.map("upload:{}".format),
  ),
  request=strategies.dictionaries(_NAMES, strategies.floats(0.0, 1.0)).map(
    lambda request: tuple(sorted(request.items()))
  ),
  strength=strategies.floats(0.0, state.LARGEST_STRENGTH),
  realism_weight=strategies.floats(0.0, state.LARGEST_REALISM_WEIGHT),
  sampler=_NAMES,
  seed=strategies.integers(-(2**63), 2**63 - 1),
  everyone=strategies.booleans(),
)


class StateTest(parameterized.TestCase):
  @settings(max_examples=30, deadline=None)
  @given(_STATES)
  def test_a_link_says_all_of_a_state(self, said):
    query = said.to_query()
    self.assertEqual(state.from_query(query), said)
    self.assertEqual(state.from_query(query).to_query(), query)

  def test_a_link_without_anything_is_the_usual_state(self):
    self.assertEqual(state.from_query(""), state.State())
    self.assertEqual(state.State().to_query(), "")
    self.assertEqual(state.from_query("utm=3"), state.State())

  @parameterized.parameters(
    ("strength=7", "strength=7: a number from 0.0 to 2.0"),
    ("realism_weight=nan", "realism_weight=nan"),
    ("seed=1.5", "seed=1.5: a whole number"),
    ("seed=9223372036854775808", "seed=9"),
    ("partly=much Smile", "partly=much"),
    ("face=painted", "face=painted: a face is"),
    ("face=data:x", "face=data=x: a whole number"),
    ("face=prior:1", "face=prior:1"),
  )
  def test_what_cannot_be_meant_is_refused(self, query, sentence):
    with self.assertRaisesRegex(ValueError, sentence):
      state.from_query(query)

  def test_a_target_can_be_taken_back(self):
    both = state.State().with_target("B", 1.0).with_target("A", 0.0)
    self.assertEqual(both.request, (("A", 0.0), ("B", 1.0)))
    self.assertEqual(both.target("B"), 1.0)
    self.assertEqual(both.with_target("B", None).request, (("A", 0.0),))


class _Client:
  """A fake client that records the latents and images that it moves."""

  def __init__(self, image=_IMAGE):
    self.asked, self._image = [], image

  async def sample(self, targets, mask, seeds):
    return {"latents": np.zeros([1, 4]), "images": np.zeros([1, *_SHAPE])}

  async def transform_latents(self, latents, targets, mask, seeds):
    self.asked.append((latents, targets, mask, seeds))
    return {
      "latents": latents + 1.0,
      "converged": np.array([True]),
      "steps": np.array([3]),
    }

  async def transform(self, images, targets, mask, seeds, **dials):
    return await self.transform_latents(images[:, 0, 0, :1], *[images] * 3)

  def forget(self):
    pass

  async def attributes(self):
    return lc_keras.Attributes(["Top", "Next"])

  async def preprocessing(self):
    return self._image


class ModelTest(parameterized.TestCase):
  @parameterized.parameters(True, False)
  def test_what_was_drawn_is_changed_where_latents_can_be(self, encodes):
    client = _Client()
    one = model.Model(client)
    one.facts = model.Facts(
      asyncio.run(client.attributes()), ("actor",), _IMAGE, encodes, True
    )
    start = asyncio.run(one.start(None, 5))
    request = [[("Next", 1.0)]]
    move = asyncio.run(one.move(start, state.State(seed=7), request))
    np.testing.assert_array_equal(move.ends, np.ones([1, 4]))
    ((latents, targets, mask, seeds),) = client.asked
    np.testing.assert_array_equal(latents, np.zeros([1, 4]))
    self.assertEqual(targets.tolist(), [[0.0, 1.0]])
    self.assertEqual((mask.tolist(), seeds.tolist()), ([[0.0, 1.0]], [7]))

  def test_a_face_that_is_given_is_encoded(self):
    client = _Client()
    one = model.Model(client)
    one.facts = model.Facts(
      asyncio.run(client.attributes()), ("actor",), _IMAGE, True, True
    )
    start = model.Start(np.ones(_SHAPE), np.zeros(4), np.ones(4))
    asyncio.run(one.move(start, state.State(), [[("Next", 1.0)]]))
    ((_, images, *_),) = client.asked
    self.assertEqual(images.shape, (1, *_SHAPE))

  @parameterized.parameters((2, 50), (8, 500, 3))
  def test_a_model_of_no_images_is_refused(self, *shape):
    curves = preprocessing.Preprocessing(shape, are_images=False)
    with self.assertRaisesRegex(latent_client.RequestError, "makes arrays of"):
      asyncio.run(model.Model(_Client(curves))._learn())


class FacesTest(parameterized.TestCase):
  @parameterized.product(form=("PNG", "JPEG", "GIF"), shape=(_SHAPE, (9, 9, 1)))
  def test_an_upload_of_any_size_is_in_its_name(self, form, shape):
    held = painted_faces.file(0.6, form, (300, 200))
    how = preprocessing.Preprocessing(shape)
    name = faces.Faces().take(held, "mine", how)
    # Another studio reads the same picture from a link.
    query = state.State(face=name).to_query()
    self.assertLess(len(query), 30_000)
    found = faces.Faces().picture(state.from_query(query).face, how)
    self.assertEqual(found.shape, shape)
    np.testing.assert_allclose(found, 0.6, atol=0.02)

  def test_detail_does_not_make_a_link_too_long(self):
    noise = np.random.default_rng(0).integers(0, 256, [128, 128, 3], np.uint8)
    held = io.BytesIO()
    Image.fromarray(noise).save(held, "PNG")
    name = faces.Faces().take(
      held.getvalue(), "noise", preprocessing.Preprocessing((128, 128, 3))
    )
    self.assertLess(len(urllib.parse.quote(name)), 30_000)

  def test_errors_say_what_is_wrong(self):
    none = faces.Faces()
    with self.assertRaisesRegex(ValueError, "^me.txt cannot be read as a pic"):
      none.take(b"no picture", "me.txt", _IMAGE)
    with self.assertRaisesRegex(ValueError, "The link's picture cannot"):
      none.picture("upload:what?", _IMAGE)
    with self.assertRaisesRegex(ValueError, "no face 3: this studio has 0"):
      none.picture("data:3", _IMAGE)
    with self.assertRaisesRegex(ValueError, "no picture files"):
      faces.find(self.create_tempdir().full_path, None, "", 3)

  def test_a_run_without_a_data_set_has_no_faces(self):
    run_dir = self.create_tempdir().full_path
    known = lc_keras.Attributes(["Top"])
    run_folder.write_about(run_dir, None, known, image_shape=_SHAPE)
    self.assertEmpty(faces.find(None, run_dir, "", 3))

  def test_pictures_of_another_model_are_refused(self):
    held = faces.Faces(arrays=np.zeros([1, 4, 4, 1]))
    with self.assertRaisesRegex(ValueError, "the model takes"):
      held.picture("data:0", _IMAGE)

  def test_what_differs_is_coloured(self):
    before = np.full(_SHAPE, 0.5)
    after = before.copy()
    after[3:5] += 0.4
    same, changed = (
      np.asarray(
        Image.open(
          io.BytesIO(
            drawing.difference(drawing.png(before), drawing.png(other))
          )
        ),
        int,
      )
      for other in (before, after)
    )
    self.assertEqual(np.ptp(same, axis=-1).max(), 0)
    np.testing.assert_array_equal(
      np.ptp(changed, axis=-1).max(axis=1) > 100, np.isin(range(12), [3, 4])
    )


class ProgramTest(absltest.TestCase):
  def test_the_address_is_printed_once_the_page_answers(self):
    with socket.socket() as probe:
      probe.bind(("localhost", 0))
      port = probe.getsockname()[1]
    program = [sys.executable, "-m", "serving.studio", "--server=localhost:1"]
    with subprocess.Popen(
      [*program, f"--port={port}"], stdout=subprocess.PIPE, text=True
    ) as running:
      try:
        line = running.stdout.readline()
        self.assertEqual(line, f"The studio: http://localhost:{port}/\n")
        with urllib.request.urlopen(line.split()[-1]) as page:
          self.assertIn(b"Latent constraints", page.read())
      finally:
        running.terminate()


class PlayTest(studio_browser.TestCase):
  def test_each_control_moves_the_picture(self):
    page = self.open("/?face=data:0")
    self.wait_shown(lambda _, who: who < 0.4)
    # Without a request, nothing changes and there is no verdict.
    page.get_by_text("Nothing is asked for yet").wait_for()
    self.assertEqual(self.shown(), self.shown("Before"))
    realism = page.get_by_role("meter", name="Realism")
    read = realism.get_attribute("aria-valuetext").partition("before ")[2]
    self.switch("Hat", "with")
    self.wait_shown(lambda has, who: has[0] > 0.8 and max(has[1:]) < 0.4)
    self.switch("Beard", "with")
    self.wait_shown(lambda has, who: min(has[0], has[2]) > 0.8)
    # A trajectory has a start, a middle and an end.
    strip = page.get_by_role("region", name="Trajectory").locator("img")
    self.assertEqual(strip.count(), 7)
    self.assertLen({one.get_attribute("src") for one in strip.all()}, 7)
    beard = page.get_by_role("meter", name="Beard")
    self.assertGreater(float(beard.get_attribute("aria-valuenow")), 0.9)

    self.assertEndsWith(realism.get_attribute("aria-valuetext"), read)

    page.get_by_role("button", name="Full size").click()
    large = page.get_by_alt_text("The result, full size")
    large.wait_for()
    png = large.get_attribute("src").partition(",")[2]
    drawn = painted_faces.read(base64.b64decode(png))
    self.assertEqual(drawn, self.shown())
    page.keyboard.press("Escape")
    large.wait_for(state="hidden")

    before = self.shown("Before")
    self.slide("Strength", "Home")
    self.wait(lambda: self.shown() == before)
    self.slide("Strength", "End")
    self.wait_shown(lambda has, who: has[2] > 0.95)
    self.slide("Strength", "ArrowLeft", 20)
    self.wait_shown(lambda has, who: 0.8 < has[2] < 0.95)

    self.switch("Hat", "without")
    self.wait_shown(lambda has, who: has[0] < 0.2)
    self.switch("Beard", "any")
    self.wait_shown(lambda has, who: has[2] < 0.4)

    # A continuous attribute: a slider appears with the target.
    self.switch("Bright Mouth", "with")
    self.wait_shown(lambda has, who: has[3] > 0.8)
    self.slide("How much Bright Mouth", "ArrowLeft", 10)
    self.wait_shown(lambda has, who: 0.4 < has[3] < 0.6)

    page.get_by_role("button", name="Picture 2").click()
    self.wait_shown(lambda _, who: who > 0.6)
    page.get_by_role("button", name="Drawn from the prior").click()
    self.wait_shown(lambda _, who: who < 0.5)
    page.get_by_label("Seed").fill("3")
    self.wait_shown(lambda _, who: who > 0.5)

    self.switch("Bright Mouth", "any")
    self.switch("Hat", "with")
    self.wait_shown(lambda has, _: has[0] > 0.8)
    page.get_by_label("Sampler").click()
    page.get_by_role("option", name="search").click()
    self.slide("Realism weight", "End")
    self.wait_shown(lambda has, _: 0.5 < has[0] < 0.65)

    page.get_by_role("button", name="Copy the link").click()
    page.get_by_text("The link is copied").wait_for()
    # The link has all settings, for another user, too.
    other = self.open(page.url.removeprefix(self.address), self.user())
    self.assertEqual(self.shown(page=other), self.shown())
    self.assertIn("sampler=search", page.url)

    page.get_by_role("button", name="Reset").click()
    page.get_by_text("Nothing is asked for yet").wait_for()
    self.assertNotIn("want", page.url)
    page.get_by_role("button", name="Another random face").click()
    self.wait(lambda: "seed=4" in page.url)

  def test_two_users_do_not_see_each_other(self):
    other = self.user()
    self.open("/?face=data:0")
    self.open("/?face=data:1", other)
    self.switch("Hat", "with")
    self.switch("Beard", "with", other)
    self.wait_shown(lambda has, who: has[0] > 0.8 > has[2] and who < 0.4)
    self.wait_shown(
      lambda has, who: has[2] > 0.85 > has[0] and who > 0.6, page=other
    )
    self.assertNotIn("Beard", self.page.url)

  def test_a_server_that_goes_and_comes_back(self):
    self.open("/?face=data:0")
    self.restart(meanwhile=lambda: self.switch("Hat", "with"))
    self.wait_shown(lambda has, _: has[0] > 0.8)

  def test_a_model_that_cannot_encode(self):
    page = self.open("/?want=Hat")
    self.addCleanup(self.restart)
    self.restart(encodes=False)
    page.get_by_text("This model has no encoder").wait_for()
    for name in ("Upload a picture", "Picture 1"):
      page.get_by_role("button", name=name).wait_for(state="detached")
    self.wait_shown(lambda has, who: has[0] > 0.8 > has[2] and who < 0.5)
    before = self.shown("Before")
    self.assertLess(before[0][0], 0.2)
    # The same face with another request; another seed is another face.
    self.switch("Beard", "with")
    self.wait_shown(lambda has, who: min(has[0], has[2]) > 0.8 and who < 0.5)
    self.assertEqual(self.shown("Before"), before)
    self.slide("Strength", "Home")
    self.wait(lambda: self.shown() == before)
    page.get_by_label("Seed").fill("3")
    self.wait_shown(lambda _, who: who > 0.5)
    # A link to a face that the model cannot encode shows an error.
    page.goto(self.address + "/?face=data:0")
    page.get_by_role("alert").filter(has_text="cannot encode").wait_for()
    page.goto(self.address + "/compare?want=Hat")
    for name in ("actor", "best_of_n"):
      card = page.get_by_role("region", name=name, exact=True)
      card.get_by_text("Evaluations").wait_for()
    # A page without calls: `slow` must not run when the model is back, since
    # another test needs its first call.
    page.goto(self.address + "/run")

  def test_a_search_ends_when_nobody_waits_for_it(self):
    page = self.open("/?face=data:0")
    page.goto(
      self.address + "/?face=data:0&want=Hat&sampler=slow&realism_weight=4"
    )
    progress = page.get_by_role("progressbar", name="Progress")
    # At the first call, the progress is unknown.
    self.wait(page.get_by_text("is known after the first time").is_visible)
    self.assertIsNone(progress.get_attribute("aria-valuenow"))

    def ticks():
      return running_ticks(self.studio.running)

    self.wait(lambda: not studio_browser.still(ticks, 0.05))
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    # The server has ended the loop, too.
    self.wait(lambda: studio_browser.still(ticks))
    # After that, a longer call is reported as longer.
    self.slide("Realism weight", "Home")
    self.answered()
    self.slide("Realism weight", "End")
    self.wait(page.get_by_text("longer than the").is_visible)
    self.assertIsNone(progress.get_attribute("aria-valuenow"))
    # This call ends when its user leaves.
    self.wait(lambda: not studio_browser.still(ticks, 0.05))
    page.goto(self.address + "/run")
    self.wait(lambda: studio_browser.still(ticks))


class ProgressTest(absltest.TestCase):
  def test_it_is_how_much_of_the_time_before_has_gone(self):
    part, text = play.progress("search", 1.0, 4.0)
    self.assertEqual(part, 0.25)
    self.assertIn("1.0 s of about 4.0 s", text)

  def test_nothing_is_said_that_is_not_known(self):
    for usual in (None, 0.0, 0.5, 1.0):
      part, text = play.progress("search", 1.0, usual)
      self.assertIsNone(part)
      self.assertStartsWith(text, "search: 1.0 s")


def running_ticks(running):
  """Returns the number of iterations of the slow sampler's loops."""
  answer = running.predict("ticks", name="default", row=np.zeros(1, np.int64))
  return answer.outputs["ticks"].int64_val[0]
