"""Tests of the workers of TF_CONFIG: parsing, and waiting for each other."""

import contextlib
import json
import os
import random
import socket
import threading
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

from trainers import workers

_TWO = {"worker": ["host-a:2222", "host-b:2223"]}


def _text(cluster=None, kind="worker", index=0):
  return json.dumps(
    {
      "cluster": _TWO if cluster is None else cluster,
      "task": {"type": kind, "index": index},
    }
  )


class ParseTest(parameterized.TestCase):
  def test_the_first_worker_is_the_chief(self):
    first, second = (workers.parse(_text(index=n)) for n in (0, 1))
    self.assertTrue(first.is_chief)
    self.assertFalse(second.is_chief)
    self.assertEqual(second.index, 1)
    self.assertEqual(first.addresses, second.addresses)
    self.assertEqual(second.describe(1), "worker 1 (host-b:2223)")

  def test_a_chief_comes_before_the_workers(self):
    cluster = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    chief = workers.parse(_text(cluster, "chief"))
    last = workers.parse(_text(cluster, "worker", 1))
    self.assertEqual(chief.addresses, ("a:1", "b:1", "c:1"))
    self.assertTrue(chief.is_chief)
    self.assertEqual(last.index, 2)
    self.assertEqual(last.names, ("chief 0", "worker 0", "worker 1"))

  def test_an_index_may_be_text(self):
    self.assertEqual(workers.parse(_text(index="1")).index, 1)

  @parameterized.parameters({}, {"TF_CONFIG": ""})
  def test_there_may_be_none(self, **environment):
    with mock.patch.dict(os.environ, environment, clear=True):
      self.assertIsNone(workers.read())

  def test_is_read_from_the_environment(self):
    with mock.patch.dict(os.environ, {"TF_CONFIG": _text(index=1)}):
      self.assertEqual(workers.read().index, 1)

  @parameterized.parameters(
    ("{'cluster': 1}", "is not JSON"),
    ("[]", "where an object was expected"),
    ("{}", "'cluster' is None, and should be an object"),
    (json.dumps({"cluster": _TWO}), "'task' is None"),
    (_text({"worker": "a:1"}), "'worker' is 'a:1', and should be a list"),
    (_text({}), "no workers"),
    (_text({"worker": ["a:1"], "ps": ["b:1"]}), "parameter servers"),
    (_text(kind="ps"), "parameter servers"),
    (_text(_TWO | {"evaluator": ["c:1"]}), "type 'evaluator'"),
    (_text(kind="wroker"), "type 'wroker', of which its cluster has none"),
    (_text(kind="chief"), "type 'chief', of which its cluster has none"),
    (_text(kind=None), "type None"),
    (_text(index=2), "worker 2, but its cluster has 2"),
    (_text(index=-1), "worker -1"),
    (_text(index=None), "index None"),
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
      workers.parse(text)
    self.assertIn(message, str(raised.exception))


def _configs(count):
  # Below the ports that the system gives to connections: a connection of
  # another test cannot take them, nor one to a port that nobody listens on yet.
  ports = random.sample(range(20_000, 32_000), 20 * count)
  free = [port for port in ports if _is_free(port)][:count]
  addresses = [f"localhost:{port}" for port in free]
  names = tuple(f"worker {index}" for index in range(count))
  return [
    workers.Workers(tuple(addresses), index, names) for index in range(count)
  ]


def _is_free(port):
  try:
    socket.create_server(("", port)).close()
  except OSError:
    return False
  return True


class MeetTest(absltest.TestCase):
  def test_nobody_goes_on_before_the_last_has_come(self):
    configs = _configs(3)
    threads = [
      threading.Thread(target=config.meet, daemon=True) for config in configs
    ]
    for thread in threads[:2]:
      thread.start()
    threads[0].join(1.0)
    self.assertTrue(threads[0].is_alive())
    self.assertTrue(threads[1].is_alive())
    # The first worker that has reached all releases its port to TensorFlow,
    # which answers there from then on.
    threads[2].start()
    for config in configs:
      port = int(config.addresses[config.index].rpartition(":")[2])
      self.enterContext(_answering(port))
    for thread in threads:
      thread.join(60.0)
      self.assertFalse(thread.is_alive())

  def test_says_who_has_not_come(self):
    config, _ = _configs(2)
    with (
      mock.patch.object(workers, "PATIENCE", 0.3),
      self.assertRaisesRegex(ValueError, r"worker 1 \(localhost:\d+\)"),
    ):
      config.meet()

  def test_says_that_its_port_is_taken(self):
    config, _ = _configs(2)
    port = int(config.addresses[0].rpartition(":")[2])
    with (
      socket.create_server(("", port)),
      self.assertRaisesRegex(ValueError, f"Port {port} of worker 0"),
    ):
      config.meet()


@contextlib.contextmanager
def _answering(port):
  """Within the block, a thread listens at a port as soon as it is free."""
  stopped = threading.Event()

  def listen():
    while not stopped.is_set():
      with contextlib.suppress(OSError), socket.create_server(("", port)):
        stopped.wait()
      stopped.wait(0.05)

  thread = threading.Thread(target=listen)
  thread.start()
  try:
    yield
  finally:
    stopped.set()
    thread.join()
