"""Tests of the page that shows a server's models, over a real socket."""

import base64
import html
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

Args:
  attributes: float32 [b, K] in [0, 1], 1 for <on>.
"""


def _write(folder):
  """Writes a model with all facts that the page shows of an export."""

  def sample(attributes, mask, seed):
    pixels = tf.zeros([4, 5, 3], tf.uint8) + tf.cast(
      tf.reduce_sum(attributes + mask), tf.uint8
    )
    return {"image_bytes": tf.repeat(tf.io.encode_png(pixels), tf.size(seed))}

  def describe(row):
    names = tf.constant([["Bald", "<b>Male</b>"]])
    return {"attribute_names": tf.repeat(names, tf.size(row), axis=0)}

  row = tf.TensorSpec([None], tf.int64, "row")
  inputs = [
    tf.TensorSpec([None, 2], tf.float32, "attributes"),
    tf.TensorSpec([None, 2], tf.float32, "mask"),
    tf.TensorSpec([None], tf.int64, "seed"),
  ]
  module = tf.Module()
  module.functions = {
    "sample": tf.function(sample, inputs, autograph=False),
    "describe": tf.function(describe, [row], autograph=False),
  }
  tf.saved_model.save(module, folder, module.functions)
  path = os.path.join(folder, "assets.extra", "manifest.json")
  os.makedirs(os.path.dirname(path))
  with open(path, "w") as file:
    json.dump({"signatures": {"sample": _SAMPLE}}, file)


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
      max_num_load_retries=0,  # A broken version stays END.
    )
    cls.addClassCleanup(cls.running.stop)
    status, headers, body = cls.running.http("/")
    assert (status, headers["Content-Type"]) == (
      200,
      "text/html; charset=utf-8",
    )
    cls.page = body.decode()

  def _row(self, *cells):
    """Finds a row of a table."""
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

  def test_signatures_with_their_texts(self):
    first = html.escape(_SAMPLE.partition("\n")[0])
    self.assertIn(f"<summary><code>sample</code> {first}</summary>", self.page)
    self.assertIn(f"<pre>{html.escape(_SAMPLE)}</pre>", self.page)
    self._row("in", "attributes", "float32", "(None, 2)")
    self._row("out", "image_bytes", "string", "(None,)")

  def test_signatures_of_other_models(self):
    self._row("in", "a", "int64", "(None,)")
    self._row("out", "total", "float32", "()")
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
