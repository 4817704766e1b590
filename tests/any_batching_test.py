"""A row's answer does not depend on the rows that a server batches it with.

Many clients call an export at once, over a server's sockets.
`endpoints_test` has the batchings of one client.
"""

import os
import tempfile
from concurrent import futures
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from serving.server import servables
from tests import exported_run
from tests import running_server

_ROWS = 12
# An actor, a search whose rows stop one by one, and an edit of an image.
_SIGNATURES = ("sample", "sample_search", "transform")
_BATCHING = """
max_batch_size { value: 9 }
batch_timeout_micros { value: 1000000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
"""


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
    folder = cls.enterClassContext(tempfile.TemporaryDirectory())
    path = os.path.join(folder, "batching.txt")
    with open(path, "w") as file:
      file.write(_BATCHING)
    cls.running = running_server.RunningServer(
      model_base_path=os.path.dirname(exported_run.exported()),
      enable_model_warmup=False,
      enable_batching=True,
      batching_parameters_file=path,
    )
    cls.addClassCleanup(cls.running.stop)
    cls.inputs = exported_run.inputs(_ROWS, seed=3)

  def _ask(self, signature, rows):
    _, specs = exported_run.signatures()[signature]
    response = self.running.predict(
      signature,
      name="default",
      **{spec.name: self.inputs[spec.name][rows] for spec in specs},
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
        if value.dtype == np.float32:
          np.testing.assert_allclose(
            value, expected, rtol=0.0, atol=1e-5, err_msg=name
          )
        elif name != "image_bytes":
          np.testing.assert_array_equal(value, expected, name)

  @parameterized.parameters(*_SIGNATURES)
  def test_batchings_of_the_server(self, signature):
    function, specs = exported_run.signatures()[signature]
    whole = function(
      **{spec.name: tf.constant(self.inputs[spec.name]) for spec in specs}
    )
    whole = {name: value.numpy() for name, value in whole.items()}
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
          lambda rows: (rows, self._ask(signature, rows)), groups
        )
        self._check(whole, answers)
    self.assertEqual(sum(runs), 2 * _ROWS)
    # Otherwise nothing was batched.
    self.assertLess(len(runs), len(groups))
