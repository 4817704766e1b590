"""Tests of workers that wait for each other."""

import contextlib
import socket
import threading
from unittest import mock

from absl.testing import absltest

from trainers import rendezvous
from trainers import tf_config


def _configs(count):
  with contextlib.ExitStack() as stack:
    servers = [
      stack.enter_context(socket.create_server(("localhost", 0)))
      for _ in range(count)
    ]
    addresses = [f"localhost:{one.getsockname()[1]}" for one in servers]
  names = tuple(f"worker {index}" for index in range(count))
  return [
    tf_config.TFConfig(tuple(addresses), index, names) for index in range(count)
  ]


class RendezvousTest(absltest.TestCase):
  def test_nobody_goes_on_before_the_last_has_come(self):
    configs = _configs(3)
    threads = [
      threading.Thread(target=rendezvous.meet, args=(config,), daemon=True)
      for config in configs
    ]
    for thread in threads[:2]:
      thread.start()
    threads[0].join(1.0)
    self.assertTrue(threads[0].is_alive())
    self.assertTrue(threads[1].is_alive())
    # The first to see all of them leaves its port to TensorFlow, which answers
    # there from then on.
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
      mock.patch.object(rendezvous, "PATIENCE", 0.3),
      self.assertRaisesRegex(ValueError, r"worker 1 \(localhost:\d+\)"),
    ):
      rendezvous.meet(config)

  def test_says_that_its_port_is_taken(self):
    config, _ = _configs(2)
    port = int(config.addresses[0].rpartition(":")[2])
    with (
      socket.create_server(("", port)),
      self.assertRaisesRegex(ValueError, f"Port {port} of worker 0"),
    ):
      rendezvous.meet(config)


@contextlib.contextmanager
def _answering(port):
  """Within, somebody listens at a port as soon as it is free."""
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


if __name__ == "__main__":
  absltest.main()
