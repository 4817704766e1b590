"""The HTTP port: TensorFlow Serving's REST interface, metrics, health, a page.

On aiohttp: it runs in the event loop that gRPC has, says when a caller has gone
away, and knows TLS and gzip; nothing here needs more of a framework.
"""

import asyncio
import json
import logging
import re
import time
import urllib.parse
from concurrent import futures

import grpc
from aiohttp import web
from tensorflow_serving.apis import model_pb2

from serving.server import calls as calls_lib
from serving.server import credentials as credentials_lib
from serving.server import errors
from serving.server import health as health_lib
from serving.server import index_page
from serving.server import interrupts
from serving.server import metrics as metrics_lib
from serving.server import rest_service

_POST = re.compile(
  r"(?i)/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
  r":(?-i:(classify|regress|predict))"
)
_GET = re.compile(
  r"(?i)/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?"
  r"(?:/(metadata))?"
)
_STATUSES = {
  grpc.StatusCode.CANCELLED: 499,
  grpc.StatusCode.INVALID_ARGUMENT: 400,
  grpc.StatusCode.FAILED_PRECONDITION: 400,
  grpc.StatusCode.OUT_OF_RANGE: 400,
  grpc.StatusCode.UNAUTHENTICATED: 401,
  grpc.StatusCode.PERMISSION_DENIED: 403,
  grpc.StatusCode.NOT_FOUND: 404,
  grpc.StatusCode.ALREADY_EXISTS: 409,
  grpc.StatusCode.ABORTED: 409,
  grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
  grpc.StatusCode.UNIMPLEMENTED: 501,
  grpc.StatusCode.UNAVAILABLE: 503,
  grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_JSON = "application/json"
_WORTH_COMPRESSING = 1024
_LARGEST_VERSION = 2**63 - 1
_CORS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "POST, GET",
  "Access-Control-Allow-Headers": "Content-Type",
}


class RestEndpoint:
  """Answers REST.

  Attributes:
    port: Where, once it has started.
  """

  def __init__(
    self,
    service: rest_service.RestService,
    calls: calls_lib.Calls,
    threads: int,
    metrics: metrics_lib.Metrics,
    health: health_lib.Health,
    page: index_page.IndexPage,
    tokens: credentials_lib.Tokens | None = None,
    metrics_path: str | None = None,
    timeout: float | None = None,
    cors: bool = False,
  ):
    """Creates the endpoint; `start` takes the port.

    Args:
      service: What is answered.
      calls: What counts the calls that run.
      threads: How many run at once; more wait.
      metrics: What counts it.
      health: Whether the server is ready.
      page: What says what there is.
      tokens: Who may call; None means all.
      metrics_path: Where Prometheus reads; None means nowhere.
      timeout: Seconds that a call may take; None means any time.
      cors: Whether pages of other servers may call.
    """
    self._service = service
    self._calls = calls
    self._metrics = metrics
    self._health = health
    self._page = page
    self._tokens = tokens
    self._metrics_path = metrics_path
    self._timeout = timeout
    self._cors = cors
    self.port = None
    self._pool = futures.ThreadPoolExecutor(threads, "rest")
    # Who stops a call must not wait for one.
    self._stoppers = futures.ThreadPoolExecutor(2, "stop")
    # Requests may be as large as they are.
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/{path:.*}", self._handle)
    self._runner = web.AppRunner(
      app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )

  async def start(
    self,
    port: int,
    certificates: credentials_lib.Certificates | None = None,
  ) -> None:
    """Takes the port and answers from now on.

    Args:
      port: 0 picks a free one.
      certificates: For TLS; None means without.

    Raises:
      ValueError: It cannot be taken.
    """
    await self._runner.setup()
    context = certificates.context if certificates else None
    site = web.TCPSite(self._runner, "0.0.0.0", port, ssl_context=context)
    try:
      await site.start()
    except OSError as error:
      raise ValueError(
        f"Port {port} cannot be taken, perhaps because another server has it: "
        "stop that one, or choose another with --rest_api_port."
      ) from error
    self.port = self._runner.addresses[0][1]

  async def stop(self) -> None:
    """Closes the port."""
    await self._runner.cleanup()
    self._pool.shutdown(wait=False, cancel_futures=True)
    self._stoppers.shutdown(wait=False)

  async def _handle(self, request):
    try:
      response = await self._answer(request)
    except errors.ServingError as error:
      response = _error(_STATUSES.get(error.code, 500), error.text)
    except web.RequestPayloadError as error:  # Said to be gzip, for example.
      response = _error(400, f"The body cannot be read: {error}")
    except Exception as error:  # The caller must get an answer.
      logging.exception("%s %s failed", request.method, request.path)
      response = _error(500, str(error))
    if self._cors:
      response.headers.update(_CORS)
      if self._tokens is not None:
        response.headers["Access-Control-Allow-Headers"] += ", Authorization"
    asked_for = "gzip" in request.headers.get("Accept-Encoding", "")
    if asked_for and len(response.body or b"") >= _WORTH_COMPRESSING:
      response.enable_compression(web.ContentCoding.gzip)
    return response

  async def _answer(self, request):
    path = request.rel_url.raw_path
    if request.method == "GET" and path == "/health/live":
      return _json({"live": True})
    if request.method == "GET" and path == "/health/ready":
      ready = self._health.ready
      return _json({"ready": ready}, 200 if ready else 503)
    if self._cors and request.method == "OPTIONS":
      return web.Response()
    sent = request.headers.get("Authorization")
    if self._tokens is not None and not self._tokens.accept(sent):
      response = _error(401, "Send `Authorization: Bearer ...` of this server.")
      response.headers["WWW-Authenticate"] = "Bearer"
      return response
    if request.method == "GET" and path == self._metrics_path:
      return web.Response(
        body=self._metrics.text(),
        headers={"Content-Type": metrics_lib.CONTENT_TYPE},
      )
    if request.method == "GET" and path == "/":
      text = await self._in_time(lambda _: self._page.html())
      return web.Response(text=text, content_type="text/html")
    if not path.lower().startswith("/v1/"):
      return _error(404, f"Nothing is at {path}: see /.")
    if request.method == "POST" and (found := _POST.fullmatch(path)):
      return await self._post(request, found)
    if request.method == "GET" and (found := _GET.fullmatch(path)):
      return await self._get(found)
    raise errors.invalid_argument(f"Malformed request: {request.method} {path}")

  async def _post(self, request, found):
    started = time.perf_counter()
    name, version, label, method = found.groups()
    spec = _spec(name, version, label)
    answer_one = getattr(self._service, method)
    api, status = method.capitalize(), "CANCELLED"
    try:
      body = await request.read()
      answer = await self._in_time(
        lambda interrupt: answer_one(spec, body, interrupt)
      )
      status = "OK"
      return web.Response(body=answer, content_type=_JSON)
    except errors.ServingError as error:
      status = error.code.name
      raise
    except Exception:
      status = "INTERNAL"
      raise
    finally:
      seconds = time.perf_counter() - started
      self._metrics.request(spec.name, api, "REST", status, seconds)

  async def _get(self, found):
    name, version, label, resource = found.groups()
    if not name:
      raise errors.invalid_argument("Missing model name in request.")
    spec = _spec(name, version, label)
    ask = self._service.metadata if resource else self._service.status
    answer = await self._in_time(lambda _: ask(spec))
    return web.Response(body=answer, content_type=_JSON)

  async def _in_time(self, job):
    """Runs a job in a thread; stops it if it takes too long."""
    patience = float("inf") if self._timeout is None else self._timeout
    end = calls_lib.end_of_waiting(patience)
    try:
      # Also what still waits for a thread has been let in.
      with self._calls.admitted():
        async with asyncio.timeout(self._timeout):
          while True:
            try:
              return await self._in_thread(job)
            except errors.StillLoadingError:
              if time.monotonic() >= end:
                raise
            await asyncio.sleep(calls_lib.PAUSE)
    except TimeoutError as error:
      raise errors.ServingError(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        f"Timed out after {self._timeout} seconds (rest_api_timeout_in_ms).",
      ) from error

  async def _in_thread(self, job):
    interrupt = interrupts.Interrupt()

    def run():
      # It may have waited for a thread, and longer than its caller did.
      interrupt.check()
      return job(interrupt)

    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(self._pool, run)
    # Else it is reported that nobody has asked how it ended.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
      return await asyncio.shield(future)
    except asyncio.CancelledError:
      # It may take a moment, and this thread has other calls.
      loop.run_in_executor(self._stoppers, interrupt.set)
      raise


def _spec(name, version, label):
  spec = model_pb2.ModelSpec(name=urllib.parse.unquote(name))
  if version is not None:
    if int(version) > _LARGEST_VERSION:
      raise errors.invalid_argument(
        f"Failed to convert version: {version} to numeric."
      )
    spec.version.value = int(version)
  if label is not None:
    spec.version_label = urllib.parse.unquote(label)
  return spec


def _json(value, status=200):
  return web.Response(
    text=json.dumps(value) + "\n", status=status, content_type=_JSON
  )


def _error(status, text):
  return _json({"error": text}, status)
