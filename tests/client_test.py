"""Tests of the client, against a real server over an exported model."""

import contextlib
import io
import os
import tempfile
from unittest import mock

import grpc
import numpy as np
from absl import app
from absl import flags
from absl.testing import parameterized
from PIL import Image

from lc_keras.data import images as image_files
from serving import client
from serving import latent_client
from serving import pictures
from tests import exported_run
from tests import running_server
from tests import tiny_run

_K = len(tiny_run.ATTRIBUTES)
# Values and mask of a request for three smiles.
_SMILING = (np.ones([3, _K]), np.eye(_K)[[_K - 1] * 3])


class ClientTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
    # Without warm-up: the tests call some of the signatures only.
    cls.running = running_server.RunningServer(
      model_name="tiny",
      model_base_path=os.path.dirname(exported_run.exported()),
      enable_model_warmup=False,
    )
    cls.addClassCleanup(cls.running.stop)
    cls.address = cls.running.address
    cls.client = latent_client.LatentClient(cls.address, "tiny", timeout=120.0)

  @classmethod
  def tearDownClass(cls):
    cls.client.close()
    super().tearDownClass()

  def test_learns_the_model_from_the_server(self):
    self.assertEqual(self.client.image_shape, tiny_run.IMAGE_SHAPE)
    learnt = self.client.attributes
    self.assertEqual(learnt.names, tiny_run.ATTRIBUTES.names)
    np.testing.assert_array_equal(learnt.excludes, tiny_run.ATTRIBUTES.excludes)
    self.assertEqual(learnt.continuous, tiny_run.ATTRIBUTES.continuous)

  def test_every_signature(self):
    images = np.full([3, *tiny_run.IMAGE_SHAPE], 0.5)
    latents = self.client.encode(images)["mean"]
    self.assertEqual(self.client.decode(latents)["images"].shape, images.shape)
    scores = self.client.score(latents, *_SMILING)
    self.assertEqual(scores["realism"].shape, (3,))
    for sampler in ("actor", "best_of_n"):
      sampled = self.client.sample(*_SMILING, [5, 6, 5], sampler=sampler)
      np.testing.assert_array_equal(sampled["seed"], [5, 6, 5])
      np.testing.assert_allclose(
        sampled["images"][0], sampled["images"][2], atol=1e-4
      )
    moved = self.client.transform(
      images, *_SMILING, [5, 6, 5], sampler="search"
    )
    self.assertEqual(moved["distance"].shape, (3,))
    nothing = np.ones([0, _K])
    sampled = self.client.sample(nothing, nothing, [], ["images"])
    self.assertEqual(sampled.keys(), {"images"})
    self.assertEqual(sampled["images"].shape, (0, *tiny_run.IMAGE_SHAPE))

  def test_a_picture_is_cropped_as_in_training_wherever_it_goes_in(self):
    path = os.path.join(self.folder, "aligned.png")
    pixels = np.random.default_rng(0).integers(
      256, size=[30, 40], dtype=np.uint8
    )
    Image.fromarray(pixels).save(path)
    image = self.client.preprocess(path)
    window = Image.fromarray(pixels[8:24, 3:35]).resize((16, 8), 2)
    np.testing.assert_allclose(image[..., 0] * 255, window, atol=1.01)
    with open(path, "rb") as file:
      moved = self.client.transform_encoded(
        [file.read()] * 3, *_SMILING, [5, 6, 5]
      )
    np.testing.assert_allclose(moved["start"][2], image, atol=1.6 / 255)
    direct = self.client.transform(moved["start"], *_SMILING, [5, 6, 5])
    np.testing.assert_allclose(moved["latents"], direct["latents"], atol=1e-4)
    with self.assertRaisesRegex(
      latent_client.RequestError, "image_bytes must be JPEG or PNG files"
    ):
      self.client.transform_encoded([b"GIF89a"] * 3, *_SMILING, [5, 6, 5])

  def test_dials(self):
    images = np.full([3, *tiny_run.IMAGE_SHAPE], 0.5)
    arguments = (images, *_SMILING, [5, 6, 7])
    still = self.client.transform(*arguments, strength=0.0)
    np.testing.assert_array_equal(still["distance"], np.zeros(3))
    self.client.transform(*arguments, sampler="search", realism_weight=0.5)
    for options, dial in (
      ({"sampler": "search", "strength": 0.5}, "strength"),
      ({"realism_weight": 0.5}, "realism_weight"),
    ):
      with self.assertRaisesRegex(
        latent_client.RequestError, f"takes no {dial}"
      ):
        self.client.transform(*arguments, **options)

  def test_errors_say_what_and_where(self):
    with self.assertRaisesRegex(
      latent_client.RequestError, f"{self.address}.*INVALID.*attributes must be"
    ) as caught:
      self.client.sample(np.full([1, _K], np.nan), np.ones([1, _K]), [0])
    self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)
    with latent_client.LatentClient(self.address, "other") as other:
      with self.assertRaisesRegex(latent_client.RequestError, "name the one"):
        other.describe([0])

  def test_slow_server(self):
    with latent_client.LatentClient(
      self.address, "tiny", timeout=1e-3
    ) as hasty:
      self.assertTrue(hasty.connect(120.0))
      with self.assertRaisesRegex(latent_client.RequestError, "did not answer"):
        hasty.decode(np.zeros([50_000, tiny_run.LATENT_SIZE]))

  def test_pictures(self):
    picture = os.path.join(self.folder, "odd.jpg")
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, [50, 31, 3], np.uint8)
    Image.fromarray(pixels).save(picture)
    samples = pictures.draw_samples(self.client, "", 11, seed=0)
    # 8 x 16 pixels are shown 16 times larger, with 4 pixels around each cell.
    height, width = 8 * 16 + 8, 16 * 16 + 8
    self.assertEqual(samples.size, (8 * width, 2 * height))
    pairs = pictures.draw_transformations(
      self.client, [picture, picture], "bald", seed=0
    )
    self.assertGreaterEqual(pairs.size[0], 2 * width)
    self.assertGreaterEqual(pairs.size[1], 2 * height)

  def test_samples_take_alternatives_in_turns(self):
    printed = self._printed(
      pictures.draw_samples,
      "(bald or black hair), 2 * male, smiling = 0.7",
      5,
      seed=0,
    )
    # Bald excludes all hair colours, and black hair all other colours.
    for target, count in (
      ("Bald", 3),
      ("not Bald", 2),
      ("not Black_Hair", 3),
      ("Black_Hair", 2),
      ("not Blond_Hair", 5),
      ("Male", 5),
    ):
      self.assertRegex(printed, rf"(?m)^{target}: .* of {count}$")
    self.assertRegex(printed, r"(?m)^Smiling = 0.7: .* on average$")
    self.assertRegex(printed, r"(?m)^Realistic and as asked, .* of 5$")
    self.assertLen(printed.splitlines(), 8)

  def test_each_picture_takes_the_alternative_that_is_nearest(self):
    picture = os.path.join(self.create_tempdir().full_path, "grey.png")
    Image.new("L", (16, 8), 128).save(picture)
    image = image_files.load(picture, tiny_run.IMAGE_SHAPE)[np.newaxis]
    nothing = np.zeros([1, _K])
    latents = self.client.encode(image)["mean"]
    read = self.client.score(latents, nothing, nothing)
    male = read["attribute_probabilities"][0, 3] > 0.5
    printed = self._printed(
      pictures.draw_transformations, [picture], "male or not male", seed=0
    )
    target = "Male" if male else "not Male"
    self.assertRegex(printed, f"(?m)^{target}: .* of 1$")
    self.assertLen(printed.splitlines(), 2)

  def _printed(self, function, *args, **kwargs):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
      function(self.client, *args, **kwargs)
    return printed.getvalue()

  def test_program(self):
    out = os.path.join(self.create_tempdir().full_path, "out.png")
    printed = self._run(
      "sample",
      "--want=Smiling, 0.5 * realism",
      "--sampler=search",
      "--n=1",
      f"--out={out}",
    )
    self.assertIn("Smiling: the attribute critic reads it in", printed)
    with Image.open(out) as image:
      self.assertGreater(np.asarray(image).std(), 0)

  @parameterized.parameters(
    (["sample", "--want=Smiling,,"], "Smiling,,\n          \\^"),
    (["transform", "--want=Bald"], "needs --image"),
  )
  def test_program_refuses(self, arguments, text):
    out = os.path.join(self.create_tempdir().full_path, "out.png")
    with self.assertRaisesRegex((SystemExit, app.UsageError), text):
      self._run(*arguments, f"--out={out}")
    self.assertFalse(os.path.exists(out))

  def _run(self, *arguments):
    """Runs `python -m serving.client` in this process; returns its output."""
    values = flags.FlagValues()
    client.define_flags(values)
    program = ["client", f"--server={self.address}", "--model_name=tiny"]
    arguments = values([*program, *arguments])
    printed = io.StringIO()
    with (
      mock.patch.object(flags, "FLAGS", values),
      contextlib.redirect_stdout(printed),
    ):
      client._run(arguments)
    return printed.getvalue()
