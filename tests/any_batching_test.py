"""A row's answer does not depend on the rows that it is asked with.

An export of ours behind a server's sockets: the same rows in batchings of the
client's and of the server's, both at random.
"""

import os
import shutil
import tempfile
from concurrent import futures
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from lc_keras import priors
from serving import endpoints
from serving import export
from serving.server import servables
from tests import running_server
from tests import tiny_run

_ROWS = 12
_K = len(tiny_run.ATTRIBUTES)
# By an actor, by a search whose rows stop one by one, and of an image.
_SIGNATURES = ("sample", "sample_search", "transform")
_BATCHING = """
max_batch_size { value: 9 }
batch_timeout_micros { value: 20000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
"""
_build = endpoints.build


def _few(models):
  """Builds some signatures, and one that answers the draws themselves."""
  built = {name: _build(models)[name] for name in _SIGNATURES}
  seed = tf.TensorSpec([None], tf.int64, "seed")

  def draw(seed):
    """Draws.

    Args:
      seed: int64 [b], any number.

    Returns:
      noise: float32 [b, latent], the draws.
    """
    return {"noise": priors.sample_rows(seed, tiny_run.LATENT_SIZE)}

  return built | {"draw": (draw, [seed])}


def _inputs():
  random = np.random.default_rng(3)
  attributes = random.uniform(size=[_ROWS, _K])
  attributes[:, :3] *= 0.5  # At most one of these could be on.
  inputs = {
    "images": random.uniform(size=[_ROWS, *tiny_run.IMAGE_SHAPE]),
    "attributes": attributes,
    "mask": random.choice([0.0, 1.0, 2.5], [_ROWS, _K]),
    "strength": random.uniform(0.0, 1.5, _ROWS),
    "realism_weight": random.uniform(0.0, 2.0, _ROWS),
  }
  inputs = {name: value.astype(np.float32) for name, value in inputs.items()}
  return inputs | {"seed": random.integers(-(2**62), 2**62, _ROWS)}


def _groups(random, largest):
  """Cuts the rows, in some order, in groups of 1 to `largest`."""
  order = random.permutation(_ROWS)
  groups = []
  while order.size:
    size = random.integers(1, largest + 1)
    groups.append(order[:size])
    order = order[size:]
  return groups


class AnyBatchingTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = tempfile.mkdtemp()
    cls.addClassCleanup(shutil.rmtree, cls.folder)
    run_dir = os.path.join(cls.folder, "run")
    tiny_run.write(run_dir)
    base_path = os.path.join(cls.folder, "export")
    with mock.patch.object(endpoints, "build", _few):
      export.export(run_dir, base_path)
    path = os.path.join(cls.folder, "batching.txt")
    with open(path, "w") as file:
      file.write(_BATCHING)
    cls.plain, cls.batching = (
      running_server.RunningServer(model_base_path=base_path, **flags)
      for flags in (
        {},
        {"enable_batching": True, "batching_parameters_file": path},
      )
    )
    for running in (cls.plain, cls.batching):
      cls.addClassCleanup(running.stop)
    cls.inputs = _inputs()

  def _ask(self, running, signature, rows):
    names = {
      "sample": ("attributes", "mask", "seed"),
      "sample_search": ("attributes", "mask", "seed", "realism_weight"),
      "transform": ("images", "attributes", "mask", "seed", "strength"),
      "draw": ("seed",),
    }[signature]
    response = running.predict(
      signature,
      name="default",
      **{name: self.inputs[name][rows] for name in names},
    )
    return {
      name: tf.make_ndarray(proto) for name, proto in response.outputs.items()
    }

  def _check(self, whole, answers):
    """Compares answers to groups of rows with those to all rows at once."""
    for rows, answer in answers:
      self.assertEqual(answer.keys(), whole.keys())
      for name, value in answer.items():
        expected = whole[name][rows]
        if value.dtype == np.float32 and name != "noise":
          np.testing.assert_allclose(
            value, expected, rtol=0.0, atol=1e-5, err_msg=name
          )
        elif name != "image_bytes":
          np.testing.assert_array_equal(value, expected, name)

  @parameterized.parameters(*_SIGNATURES, "draw")
  def test_batchings_of_the_client(self, signature):
    whole = self._ask(self.plain, signature, np.arange(_ROWS))
    random = np.random.default_rng(4)
    for largest in (2, 7):
      groups = _groups(random, largest)
      self._check(
        whole,
        [(rows, self._ask(self.plain, signature, rows)) for rows in groups],
      )

  @parameterized.parameters(*_SIGNATURES, "draw")
  def test_batchings_of_the_server(self, signature):
    whole = self._ask(self.plain, signature, np.arange(_ROWS))
    random = np.random.default_rng(5)
    groups = [rows for _ in range(2) for rows in _groups(random, 4)]
    runs = []
    run = servables.Servable.run

    def spied(servable, feeds, *args):
      runs.append(len(next(iter(feeds.values()))))
      return run(servable, feeds, *args)

    with mock.patch.object(servables.Servable, "run", spied):
      with futures.ThreadPoolExecutor(8) as clients:
        answers = clients.map(
          lambda rows: (rows, self._ask(self.batching, signature, rows)), groups
        )
        self._check(whole, answers)
    self.assertEqual(sum(runs), 2 * _ROWS)
    # Else nothing has been shown.
    self.assertLess(len(runs), len(groups))

  def test_shapes_are_checked_in_the_graph(self):
    for running in (self.plain, self.batching):
      for name, shape in (
        ("attributes", [2, _K + 1]),
        ("mask", [2]),
        ("seed", [2, 1]),
      ):
        inputs = {
          key: self.inputs[key][:2] for key in ("attributes", "mask", "seed")
        }
        inputs[name] = np.zeros(shape, inputs[name].dtype)
        with self.assertRaisesRegex(
          Exception, f"INVALID_ARGUMENT(.|\n)*{name}.* is not compatible with"
        ):
          running.predict("sample", name="default", **inputs)


if __name__ == "__main__":
  absltest.main()
