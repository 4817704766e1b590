"""Tests of TF_CONFIG: who trains together, and what is wrong with it."""

import json
import os
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

from trainers import tf_config

_TWO = {"worker": ["host-a:2222", "host-b:2223"]}


def _text(cluster=None, kind="worker", index=0):
  return json.dumps(
    {
      "cluster": _TWO if cluster is None else cluster,
      "task": {"type": kind, "index": index},
    }
  )


class TFConfigTest(parameterized.TestCase):
  def test_the_first_worker_is_the_chief(self):
    first, second = (tf_config.parse(_text(index=n)) for n in (0, 1))
    self.assertTrue(first.is_chief)
    self.assertFalse(second.is_chief)
    self.assertEqual(second.index, 1)
    self.assertEqual(first.addresses, second.addresses)
    self.assertEqual(second.describe(1), "worker 1 (host-b:2223)")

  def test_a_chief_comes_before_the_workers(self):
    cluster = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    chief = tf_config.parse(_text(cluster, "chief"))
    last = tf_config.parse(_text(cluster, "worker", 1))
    self.assertEqual(chief.addresses, ("a:1", "b:1", "c:1"))
    self.assertTrue(chief.is_chief)
    self.assertEqual(last.index, 2)
    self.assertEqual(last.names, ("chief 0", "worker 0", "worker 1"))

  def test_an_index_may_be_text(self):
    self.assertEqual(tf_config.parse(_text(index="1")).index, 1)

  @parameterized.parameters({}, {"TF_CONFIG": ""})
  def test_there_may_be_none(self, **environment):
    with mock.patch.dict(os.environ, environment, clear=True):
      self.assertIsNone(tf_config.read())

  def test_is_read_from_the_environment(self):
    with mock.patch.dict(os.environ, {"TF_CONFIG": _text(index=1)}):
      self.assertEqual(tf_config.read().index, 1)

  @parameterized.parameters(
    ("{'cluster': 1}", "is not JSON"),
    ("[]", "where an object was expected"),
    ("{}", "'cluster' is None, and should be an object"),
    (json.dumps({"cluster": _TWO}), "'task' is None"),
    (_text({"worker": "a:1"}), "'worker' is 'a:1', and should be a list"),
    (_text({}), "no workers"),
    (_text({"worker": []}), "no workers"),
    (_text({"worker": ["a:1"], "ps": ["b:1"]}), "parameter servers"),
    (_text(kind="ps"), "parameter servers"),
    (_text(_TWO | {"evaluator": ["c:1"]}), "type 'evaluator'"),
    (_text(kind="wroker"), "type 'wroker', of which its cluster has none"),
    (_text(kind="chief"), "type 'chief', of which its cluster has none"),
    (_text(kind=None), "type None"),
    (_text(index=2), "worker 2, but its cluster has 2"),
    (_text(index=-1), "worker -1"),
    (_text(index=None), "index None"),
    (_text(index=True), "index True"),
    (_text(index=0.5), "index 0.5"),
    (_text({"chief": ["a:1", "b:1"]}, "chief"), "more than one chief"),
    (_text({"worker": ["a:1", "a:1"]}), "a:1 more than once"),
    (_text({"worker": ["a"]}), "address 'a'; expected host:port"),
    (_text({"worker": [":1"]}), "address ':1'"),
    (_text({"worker": ["a:port"]}), "address 'a:port'"),
    (_text({"worker": ["a:70000"]}), "address 'a:70000'"),
    (_text({"worker": [7]}), "address 7"),
  )
  def test_says_what_is_wrong(self, text, message):
    with self.assertRaisesRegex(ValueError, "TF_CONFIG") as raised:
      tf_config.parse(text)
    self.assertIn(message, str(raised.exception))


if __name__ == "__main__":
  absltest.main()
