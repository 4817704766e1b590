"""Tests that load counts calls correctly for servers of any speed."""

import collections
import http.server
import threading
import time
from concurrent import futures

import grpc
import numpy as np
from absl.testing import absltest

from benchmarks import load

# Seconds in which every client makes some calls, even if it waits for a CPU.
_SECONDS = 3.0
_BODY = b"a question"
# Seconds of an answer, so that no client keeps a CPU busy.
_ANSWER_SECONDS = 0.02


class _Server:
  """Answers some calls, refuses others, and records them."""

  def __init__(self, answer):
    self.seen = collections.Counter()
    self.peers = set()
    lock = threading.Lock()

    def handle(request, context):
      time.sleep(_ANSWER_SECONDS)
      with lock:
        code = answer(self.seen.total())
        if request != _BODY:
          code = grpc.StatusCode.INVALID_ARGUMENT
        self.seen[code.name] += 1
        self.peers.add(context.peer())
      if code != grpc.StatusCode.OK:
        context.abort(code, "no")
      return b"an answer"

    self._server = grpc.server(futures.ThreadPoolExecutor(8))
    self._server.add_generic_rpc_handlers(
      [
        grpc.method_handlers_generic_handler(
          "any.Service",
          {"Ask": grpc.unary_unary_rpc_method_handler(handle)},
        )
      ]
    )
    port = self._server.add_insecure_port("127.0.0.1:0")
    self._server.start()
    self.url = f"grpc://127.0.0.1:{port}/any.Service/Ask"

  def stop(self):
    self._server.stop(None)


class LoadTest(absltest.TestCase):
  def _server(self, answer):
    server = _Server(answer)
    self.addCleanup(server.stop)
    return server

  def test_counts_what_the_server_counts(self):
    def answer(number):
      if number % 3 == 2:
        return grpc.StatusCode.RESOURCE_EXHAUSTED
      return grpc.StatusCode.OK

    server = self._server(answer)
    seen = load.run(
      server.url, _BODY, clients=11, seconds=_SECONDS, warm_up=0.0
    )
    self.assertLen(server.peers, 11)
    self.assertEqual(seen.codes, dict(server.seen))
    self.assertLen(seen.latencies, server.seen["OK"])
    self.assertEqual(seen.rate, server.seen["OK"] / _SECONDS)

  def test_what_comes_before_is_not_counted(self):
    server = self._server(lambda number: grpc.StatusCode.OK)
    seen = load.run(server.url, _BODY, clients=1, seconds=_SECONDS, warm_up=1.0)
    self.assertLess(seen.codes["OK"], server.seen["OK"])

  def test_what_never_ends_is_not_answered(self):
    def answer(number):
      time.sleep(3.0)
      return grpc.StatusCode.OK

    server = self._server(answer)
    seen = load.run(
      server.url, _BODY, clients=1, seconds=_SECONDS, warm_up=0.0, deadline=0.2
    )
    self.assertEqual(set(seen.codes), {"DEADLINE_EXCEEDED"})
    self.assertGreaterEqual(seen.longest, 0.2)
    self.assertNotIn("p50_ms", seen.summary())

  def test_http(self):
    seen_by_server = []

    class Handler(http.server.BaseHTTPRequestHandler):
      protocol_version = "HTTP/1.1"

      def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(_ANSWER_SECONDS)
        status = 429 if len(seen_by_server) % 2 else 200
        seen_by_server.append((self.path, body, status))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

      def log_message(self, *_):
        pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    self.addCleanup(server.server_close)
    self.addCleanup(server.shutdown)
    seen = load.run(
      f"http://127.0.0.1:{server.server_port}/a/path",
      _BODY,
      clients=1,
      seconds=_SECONDS,
      warm_up=0.0,
    )
    self.assertEqual({row[:2] for row in seen_by_server}, {("/a/path", _BODY)})
    counts = collections.Counter(row[2] for row in seen_by_server)
    self.assertEqual(
      seen.codes, {"OK": counts[200], "RESOURCE_EXHAUSTED": counts[429]}
    )

  def test_several_loads_are_one(self):
    both = load.together(
      [
        load.Load(10.0, np.array([0.1, 0.4]), {"OK": 2}, 0.4),
        load.Load(10.0, np.array([0.2]), {"OK": 1, "UNAVAILABLE": 1}, 0.9),
      ]
    )
    self.assertCountEqual(both.latencies, [0.1, 0.2, 0.4])
    self.assertEqual(both.codes, {"OK": 3, "UNAVAILABLE": 1})
    self.assertEqual((both.rate, both.longest), (3 / 20.0, 0.9))
    self.assertAlmostEqual(both.summary()["p50_ms"], 200.0)
