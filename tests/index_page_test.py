"""Tests of the page that says what a server has, over a real socket."""

import base64
import io
import json
import os
import re

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from PIL import Image

from tests import running_server
from tests import serving_models

_SAMPLE = """Draws images that have the attributes.

More about it.

Args:
  attributes: float32 [b, K] in [0, 1], what is
    wanted.
  mask: float32 [b, K] from 0 up.
  seed: int64 [b], any number.

Returns:
  image_bytes: string [b], PNG files.
"""
_SEARCH = """Draws images by a search.

Args:
  attributes: As of `sample`.
  mask: As of `sample`.
  seed: As of `sample`.

Returns:
  As `sample`.
"""


def _write(folder):
  """Writes a model that has what those of `export` have: all that is shown."""

  def sample(attributes, mask, seed):
    pixels = tf.zeros([4, 5, 3], tf.uint8) + tf.cast(
      tf.reduce_sum(attributes + mask), tf.uint8
    )
    return {"image_bytes": tf.repeat(tf.io.encode_png(pixels), tf.size(seed))}

  def describe(row):
    names = tf.constant([["Bald", "<b>Male</b>"]])
    return {"attribute_names": tf.repeat(names, tf.size(row), axis=0)}

  wish = tf.TensorSpec([None, 2], tf.float32)
  ints = tf.TensorSpec([None], tf.int64)
  inputs = [
    tf.TensorSpec(wish.shape, wish.dtype, "attributes"),
    tf.TensorSpec(wish.shape, wish.dtype, "mask"),
    tf.TensorSpec(ints.shape, ints.dtype, "seed"),
  ]
  module = tf.Module()
  module.functions = {
    "sample": tf.function(sample, inputs, autograph=False),
    "sample_search": tf.function(sample, inputs, autograph=False),
    "describe": tf.function(
      describe, [tf.TensorSpec(ints.shape, ints.dtype, "row")], autograph=False
    ),
  }
  tf.saved_model.save(module, folder, module.functions)
  path = os.path.join(folder, "assets.extra", "manifest.json")
  os.makedirs(os.path.dirname(path))
  with open(path, "w") as file:
    json.dump(
      {"signatures": {"sample": _SAMPLE, "sample_search": _SEARCH}}, file
    )


class IndexPageTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = absltest.get_default_test_tmpdir()
    cls.folder = os.path.join(folder, f"index_page_{os.getpid()}")
    _write(os.path.join(cls.folder, "ours", "3"))
    serving_models.write(os.path.join(cls.folder, "theirs", "1"))
    os.makedirs(os.path.join(cls.folder, "broken", "7"))
    config = "".join(
      f'config {{ name: "{name}" base_path: "{cls.folder}/{name}" '
      f'model_platform: "tensorflow" {more} }}'
      for name, more in (
        ("ours", 'version_labels { key: "stable" value: 3 }'),
        ("theirs", ""),
        ("broken", ""),
      )
    )
    path = os.path.join(cls.folder, "models.config")
    with open(path, "w") as file:
      file.write(f"model_config_list {{ {config} }}")
    cls.running = running_server.RunningServer(
      model_config_file=path,
      allow_version_labels_for_unavailable_models=True,
      max_num_load_retries=0,  # What is broken stays so, and is not LOADING.
    )
    cls.addClassCleanup(cls.running.stop)
    status, headers, body = cls.running.http("/")
    assert (status, headers["Content-Type"]) == (
      200,
      "text/html; charset=utf-8",
    )
    cls.page = body.decode()

  def _row(self, *cells):
    """Looks for a row of a table."""
    inner = r"\s*".join(
      f"<td[^>]*>(?:<code>)?{re.escape(c)}(?:</code>)?</td>" for c in cells
    )
    self.assertRegex(self.page, f"<tr>{inner}</tr>")

  def test_models_and_their_versions(self):
    for name in ("ours", "theirs", "broken"):
      self.assertIn(f"<h2>{name}</h2>", self.page)
    self._row("3", "AVAILABLE", "stable", "")
    self._row("1", "AVAILABLE", "", "")
    self.assertRegex(self.page, "<td>7</td><td>END</td>.*cannot be loaded")

  def test_signatures_with_what_is_said_of_them(self):
    self.assertIn("Draws images that have the attributes.", self.page)
    said = "float32 [b, K] in [0, 1], what is wanted."
    self._row("in", "attributes", "float32", "[?, 2]", said)
    self._row("out", "image_bytes", "string", "[?]", "string [b], PNG files.")
    # The search's refer to those of `sample`.
    self.assertEqual(self.page.count(said), 2)
    self.assertEqual(self.page.count("string [b], PNG files."), 2)

  def test_signatures_of_others(self):
    self._row("in", "a", "int64", "[?]", "")
    self._row("out", "total", "float32", "[]", "")
    self.assertNotIn("__saved_model_init_op", self.page)

  def test_attributes_and_a_sample(self):
    self.assertIn("Attributes: Bald, &lt;b&gt;Male&lt;/b&gt;", self.page)
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', self.page)
    self.assertLen(pictures, 1)
    image = Image.open(io.BytesIO(base64.b64decode(pictures[0])))
    self.assertEqual(np.asarray(image).shape, (4, 5, 3))

  def test_a_server_without_models(self):
    path = self.create_tempfile(content="model_config_list {}").full_path
    running = running_server.RunningServer(model_config_file=path)
    self.addCleanup(running.stop)
    status, _, body = running.http("/")
    self.assertEqual(status, 200)
    self.assertIn("no models", body.decode())


if __name__ == "__main__":
  absltest.main()
