"""Tests that load is counted right; how fast anything is, they do not ask."""

import collections
import http.server
import threading
import time
from concurrent import futures

import grpc
import numpy as np
from absl.testing import absltest

from benchmarks import figures
from benchmarks import latency_chart
from benchmarks import load

# Every client has to make some calls, and may have to wait for a CPU first.
_SECONDS = 3.0
_BODY = b"a question"


class _Server:
  """Answers some calls and refuses others, and notes which."""

  def __init__(self, answer):
    self.seen = collections.Counter()
    self.peers = set()
    lock = threading.Lock()

    def handle(request, context):
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
    self.target = load.Target(f"grpc://127.0.0.1:{port}/any.Service/Ask", _BODY)

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
    seen = load.run(server.target, clients=3, seconds=_SECONDS, warm_up=0.0)
    self.assertEqual(seen.codes, dict(server.seen))
    self.assertLen(seen.latencies, server.seen["OK"])
    self.assertLen(seen.refused, server.seen["RESOURCE_EXHAUSTED"])
    self.assertEqual(seen.rate, server.seen["OK"] / _SECONDS)
    self.assertGreater(seen.least, 0)
    self.assertEqual(seen.stuck, 0)

  def test_every_client_has_a_connection(self):
    server = self._server(lambda number: grpc.StatusCode.OK)
    load.run(server.target, clients=11, seconds=_SECONDS)
    self.assertLen(server.peers, 11)

  def test_what_comes_before_is_not_counted(self):
    server = self._server(lambda number: grpc.StatusCode.OK)
    seen = load.run(server.target, clients=1, seconds=_SECONDS, warm_up=1.0)
    self.assertLess(seen.codes["OK"], server.seen["OK"])

  def test_what_never_ends_is_not_answered(self):
    def answer(number):
      time.sleep(3.0)
      return grpc.StatusCode.OK

    server = self._server(answer)
    seen = load.run(
      server.target, clients=1, seconds=_SECONDS, warm_up=0.0, deadline=0.2
    )
    self.assertEqual(set(seen.codes), {"DEADLINE_EXCEEDED"})
    self.assertGreaterEqual(seen.longest, 0.2)
    self.assertIsNone(seen.summary()["p50_ms"])

  def test_http(self):
    seen_by_server = []

    class Handler(http.server.BaseHTTPRequestHandler):
      protocol_version = "HTTP/1.1"

      def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
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
      load.Target(f"http://127.0.0.1:{server.server_port}/a/path", _BODY),
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
    def one(latencies, refused, least):
      return load.Load(
        2,
        10.0,
        np.array(latencies),
        np.array(refused),
        {"OK": len(latencies), "UNAVAILABLE": len(refused)},
        least,
        stuck=1,
      )

    both = load.together([one([0.1, 0.4], [], 1), one([0.2], [0.9], 0)])
    np.testing.assert_array_equal(both.latencies, [0.1, 0.2, 0.4])
    self.assertEqual(both.codes, {"OK": 3, "UNAVAILABLE": 1})
    self.assertEqual(both.rate, 3 / 20.0)
    self.assertEqual(both.percentile(50), 0.2)
    self.assertEqual(both.longest, 0.9)
    self.assertEqual((both.least, both.stuck), (0, 2))


class FiguresTest(absltest.TestCase):
  def test_ratios_are_of_neighbours(self):
    row = figures.comparison("a : b", "ms", [1.0, 30.0, 4.0], [2.0, 10.0, 4.0])
    self.assertEqual((row["ours"], row["peer"]), (4.0, 4.0))
    self.assertEqual(row["ratio"], {"median": 1.0, "min": 0.5, "max": 3.0})


class LatencyChartTest(absltest.TestCase):
  def test_draws_few_calls_and_many(self):
    random = np.random.default_rng(0)
    picture = latency_chart.draw(
      {
        "One": {
          ("a", "1 client"): np.array([0.1]),
          ("a", "4 clients"): random.uniform(0.1, 0.2, 5000),
        },
        "Two": {("b", ""): random.uniform(1.0, 2.0, 60)},
      }
    )
    self.assertEqual(picture.size, (1300, 450))
    self.assertGreater(np.std(picture), 0.0)


if __name__ == "__main__":
  absltest.main()
