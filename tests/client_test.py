"""Tests of the client, against a real server over an exported model."""

import os
import shutil
import subprocess
import sys
import tempfile

import grpc
import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from PIL import Image

from serving import client
from serving import export
from serving import servables
from serving import server
from tests import tiny_run

_K = len(tiny_run.ATTRIBUTES)


class ClientTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = tempfile.mkdtemp()
    cls.addClassCleanup(shutil.rmtree, cls.folder)
    run_dir = os.path.join(cls.folder, "run")
    tiny_run.write(run_dir)
    export_dir = os.path.join(cls.folder, "export")
    export.export(run_dir, export_dir)
    models = servables.Servables({"tiny": export_dir})
    models.load()
    cls.server = server.Server(models)
    cls.address = f"localhost:{cls.server.port}"
    cls.client = client.LatentClient(cls.address, "tiny", timeout=120.0)

  @classmethod
  def tearDownClass(cls):
    cls.client.close()
    cls.server.stop(grace=0)
    super().tearDownClass()

  def test_learns_the_model_from_the_server(self):
    self.assertEqual(self.client.image_shape, tiny_run.IMAGE_SHAPE)
    learnt = self.client.attributes
    self.assertEqual(learnt.names, tiny_run.ATTRIBUTES.names)
    np.testing.assert_array_equal(learnt.excludes, tiny_run.ATTRIBUTES.excludes)

  def test_every_signature(self):
    images = np.full([3, *tiny_run.IMAGE_SHAPE], 0.5)
    encoded = self.client.encode(images)
    self.assertEqual(encoded["mean"].shape, (3, tiny_run.LATENT_SIZE))
    decoded = self.client.decode(encoded["mean"])
    self.assertEqual(decoded["images"].shape, images.shape)
    ones = np.ones([3, _K])
    self.assertEqual(
      self.client.score(encoded["mean"], ones)["realism"].shape, (3,)
    )
    sampled = self.client.sample(ones, [5, 6, 5])
    np.testing.assert_array_equal(sampled["seed"], [5, 6, 5])
    np.testing.assert_allclose(
      sampled["images"][0], sampled["images"][2], atol=1e-5
    )
    changed = self.client.transform(images, ones, ones, [5, 6, 5])
    self.assertEqual(changed["distance"].shape, (3,))

  def test_outputs_can_be_chosen(self):
    sampled = self.client.sample(np.ones([2, _K]), [0, 1], ["realism"])
    self.assertCountEqual(sampled, ["realism"])

  def test_no_rows(self):
    sampled = self.client.sample(np.ones([0, _K]), [])
    self.assertEqual(sampled["images"].shape, (0, *tiny_run.IMAGE_SHAPE))

  def test_open_attributes_come_from_examples(self):
    for want in ("Smiling", "not Male", "Black hair", "Bald, not Smiling"):
      values, mask = tiny_run.ATTRIBUTES.parse(want)
      rows = self.client.complete(values, mask, 50, seed=1)
      self.assertEqual(rows.shape, (50, _K))
      for row in rows:
        # All three labels of the run keep what is asked for.
        self.assertTrue((tiny_run.LABELS == row).all(axis=1).any(), row)
        np.testing.assert_array_equal(row[mask > 0], values[mask > 0])
    nothing = np.zeros(_K)
    rows = self.client.complete(nothing, nothing, 200, seed=1)
    self.assertLen(np.unique(rows, axis=0), len(tiny_run.LABELS))

  def test_what_no_example_shows_can_be_asked_for(self):
    values, mask = tiny_run.ATTRIBUTES.parse("Black_Hair, Male")
    rows = self.client.complete(values, mask, 20, seed=1)
    for row in rows:
      np.testing.assert_array_equal(row[mask > 0], values[mask > 0])

  def test_completion_is_seeded(self):
    nothing = np.zeros(_K)
    rows = [self.client.complete(nothing, nothing, 50, s) for s in (1, 1, 2)]
    np.testing.assert_array_equal(rows[0], rows[1])
    self.assertFalse(np.array_equal(rows[0], rows[2]))

  def test_errors_say_what_and_where(self):
    with self.assertRaisesRegex(
      client.RequestError, f"{self.address}.*INVALID.*attributes must be"
    ) as caught:
      self.client.sample(np.full([1, _K], np.nan), [0])
    self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)
    with client.LatentClient(self.address, "other") as other:
      with self.assertRaisesRegex(client.RequestError, "name the one"):
        other.describe([0])

  def test_no_server(self):
    with client.LatentClient("localhost:1", timeout=0.5) as lonely:
      self.assertFalse(lonely.connect())
      with self.assertRaisesRegex(client.RequestError, "No server at local"):
        lonely.describe([0])

  def test_slow_server(self):
    with client.LatentClient(self.address, "tiny", timeout=1e-3) as hasty:
      self.assertTrue(hasty.connect(120.0))
      with self.assertRaisesRegex(client.RequestError, "did not answer"):
        hasty.decode(np.zeros([50_000, tiny_run.LATENT_SIZE]))

  def test_pictures(self):
    picture = os.path.join(self.folder, "odd.jpg")
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, [50, 31, 3], np.uint8)
    Image.fromarray(pixels).save(picture)
    samples = client.draw_samples(self.client, "", 11, seed=0)
    # 8 x 16 pixels are shown 16 times larger, with 4 pixels around each cell.
    height, width = 8 * 16 + 8, 16 * 16 + 8
    self.assertEqual(samples.size, (8 * width, 2 * height))
    pairs = client.draw_transformations(
      self.client, [picture, picture], "bald", seed=0
    )
    self.assertGreaterEqual(pairs.size[0], 2 * width)
    self.assertGreaterEqual(pairs.size[1], 2 * height)

  @parameterized.parameters(
    ("Smilng", "did you mean Smiling?"),
    ("Bald, Black_Hair", "rule each other out"),
    ("Bald", "missing.png cannot"),
  )
  def test_pictures_refuse(self, want, text):
    with self.assertRaisesRegex(ValueError, text):
      client.draw_transformations(self.client, ["missing.png"], want, seed=0)

  def test_program(self):
    out = os.path.join(self.create_tempdir().full_path, "out.png")
    finished = self._run("sample", "--want=Smiling", "--n=1", f"--out={out}")
    self.assertEqual(finished.returncode, 0, finished.stderr)
    self.assertIn("Smiling: the attribute critic reads it in", finished.stdout)
    with Image.open(out) as image:
      self.assertGreater(np.asarray(image).std(), 0)

  @parameterized.parameters(
    (["sample", "--want=Smilng"], "did you mean Smiling?"),
    (["transform", "--want=Bald"], "needs --image"),
  )
  def test_program_refuses(self, arguments, text):
    out = os.path.join(self.create_tempdir().full_path, "out.png")
    finished = self._run(*arguments, f"--out={out}")
    self.assertEqual(finished.returncode, 1)
    self.assertIn(text, finished.stdout + finished.stderr)
    self.assertNotIn("Traceback", finished.stderr)
    self.assertFalse(os.path.exists(out))

  def _run(self, *arguments):
    return subprocess.run(
      [
        sys.executable,
        "-m",
        "serving.client",
        f"--server={self.address}",
        "--model_name=tiny",
        *arguments,
      ],
      capture_output=True,
      text=True,
    )


class LoadImageTest(parameterized.TestCase):
  def _save(self, image, name="picture.png", **kwargs):
    path = os.path.join(self.create_tempdir().full_path, name)
    image.save(path, **kwargs)
    return path

  @parameterized.parameters("L", "RGB", "RGBA", "P", "1", "CMYK", "I;16")
  def test_any_mode(self, mode):
    path = self._save(Image.new(mode, (40, 30)), "picture.tiff")
    for channels in (1, 3):
      image = client.load_image(path, (8, 16, channels))
      self.assertEqual(image.shape, (8, 16, channels))
      self.assertEqual(image.dtype, np.float32)
      self.assertBetween(image.min(), 0.0, 1.0)
      self.assertBetween(image.max(), 0.0, 1.0)

  def test_takes_the_middle(self):
    pixels = np.zeros([20, 100], np.uint8)
    pixels[:, 40:60] = 255
    path = self._save(Image.fromarray(pixels))
    image = client.load_image(path, (10, 10, 1))
    self.assertGreater(image.min(), 0.9)  # Its edge is smoothed.

  def test_turned_cameras(self):
    pixels = np.zeros([40, 40], np.uint8)
    pixels[:, 20:] = 255  # White is on the right...
    exif = Image.Exif()
    exif[0x0112] = 6  # ...of a camera that was turned: at the bottom.
    path = self._save(Image.fromarray(pixels), exif=exif)
    image = client.load_image(path, (4, 4, 1))
    self.assertLess(image[0].max(), 0.2)
    self.assertGreater(image[-1].min(), 0.8)

  def test_transparent_is_white(self):
    path = self._save(Image.new("RGBA", (9, 9), (0, 0, 0, 0)))
    np.testing.assert_array_equal(
      client.load_image(path, (4, 4, 3)), np.ones([4, 4, 3])
    )

  def test_refuses_what_is_no_picture(self):
    folder = self.create_tempdir()
    text = folder.create_file("notes.txt", "Not a picture.").full_path
    for path in (text, folder.full_path, os.path.join(folder, "missing.png")):
      with self.assertRaisesRegex(ValueError, "cannot be read as a picture"):
        client.load_image(path, (4, 4, 3))


if __name__ == "__main__":
  absltest.main()
