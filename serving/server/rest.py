"""The HTTP port: TensorFlow Serving's REST interface, metrics, health, a page.

Uses aiohttp, which detects disconnected callers and supports TLS and gzip.
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
from aiohttp import web_response
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_pb2

from serving.server import calls
from serving.server import credentials
from serving.server import errors
from serving.server import health
from serving.server import index_page
from serving.server import interrupts
from serving.server import json_inputs
from serving.server import json_outputs
from serving.server import json_process
from serving.server import metrics
from serving.server import options
from serving.server import prediction_service
from serving.server import text_protos

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
# TensorFlow Serving inflates bodies up to this size.
_LARGEST_BODY = 100 << 20
_MOST_IN_BODIES = 4 * _LARGEST_BODY
_WORTH_COMPRESSING = 1024
_LARGEST_VERSION = 2**63 - 1
_CORS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "POST, GET",
  "Access-Control-Allow-Headers": "Content-Type",
}


# aiohttp would send its version and Python's. This also covers aiohttp's own
# answers to malformed HTTP.
web_response.SERVER_SOFTWARE = "lc_keras"
# aiohttp would log a traceback for malformed HTTP; `_handle` logs errors.
logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


class RestEndpoint:
  """The HTTP port.

  Attributes:
    port: The TCP port, once it has started.
  """

  def __init__(
    self,
    services: prediction_service.Services,
    running: calls.Calls,
    counters: metrics.Metrics,
    healthy: health.Health,
    tokens: credentials.Tokens | None,
    settings: options.Options,
  ):
    """Creates the endpoint; `start` takes the port.

    Raises:
      ValueError: The file of --monitoring_config_file is not valid.
    """
    self._services = services
    self._calls = running
    self._metrics = counters
    self._health = healthy
    self._page = index_page.IndexPage(services.models)
    self._tokens = tokens
    self._metrics_path = _metrics_path(settings.monitoring_config_file)
    self._timeout = settings.rest_api_timeout_in_ms / 1e3 or None
    self._cors = settings.rest_api_enable_cors_support
    self.port = None
    self._pool = futures.ThreadPoolExecutor(
      settings.rest_api_num_threads, "rest"
    )
    # A separate pool: stopping a call must not wait for other calls.
    self._stoppers = futures.ThreadPoolExecutor(2, "stop")
    self._in_bodies = 0

    @web.middleware
    async def handle(request, handler):
      del handler  # aiohttp's answer for unknown paths.
      return await self._handle(request)

    # The middleware handles all paths, with any characters: no routes.
    self._runner = web.AppRunner(
      web.Application(middlewares=[handle]),
      access_log=None,
      auto_decompress=False,
      handler_cancellation=True,
      shutdown_timeout=0.1,
    )

  async def start(
    self,
    port: int,
    certificates: credentials.Certificates | None = None,
  ) -> None:
    """Listens at the port; 0 picks a free one.

    Raises:
      ValueError: The port is not available.
    """
    await self._runner.setup()
    context = certificates.for_http if certificates else None
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
    except errors.TooLargeError as error:
      response = _error(413, error.text)
    except errors.ServingError as error:
      response = _error(_STATUSES.get(error.code, 500), error.text)
    except web.RequestPayloadError as error:
      response = _error(400, f"The body cannot be read: {error}")
    except Exception as error:  # The caller must get an answer.
      logging.exception("%s %s failed", request.method, request.path)
      response = _error(500, str(error))
    if self._cors:
      response.headers.update(_CORS)
      if self._tokens is not None:
        response.headers["Access-Control-Allow-Headers"] += ", Authorization"
    # Large answers have no length here, and are already compressed.
    if (response.content_length or 0) >= _WORTH_COMPRESSING and _takes_gzip(
      request
    ):
      response.enable_compression(web.ContentCoding.gzip)
    return response

  async def _answer(self, request):
    method, path = request.method, request.rel_url.raw_path
    if (method, path) == ("GET", "/health/live"):
      return web.json_response({"live": True})
    if (method, path) == ("GET", "/health/ready"):
      ready = self._health.ready
      return web.json_response({"ready": ready}, status=200 if ready else 503)
    if self._cors and method == "OPTIONS":
      return web.Response()
    sent = request.headers.get("Authorization")
    if self._tokens is not None and not self._tokens.accept(sent):
      response = _error(401, "Send `Authorization: Bearer ...` of this server.")
      response.headers["WWW-Authenticate"] = "Bearer"
      return response
    if (method, path) == ("GET", self._metrics_path):
      headers = {"Content-Type": metrics.CONTENT_TYPE}
      return web.Response(body=self._metrics.text(), headers=headers)
    if (method, path) == ("GET", "/"):
      text = await self._in_time(lambda *_: self._page.html())
      return web.Response(text=text, content_type="text/html")
    if not path.lower().startswith("/v1/"):
      return _error(404, f"Nothing is at {path}: see /.")
    if method == "POST" and (found := _POST.fullmatch(path)):
      return await self._post(request, found)
    if method == "GET" and (found := _GET.fullmatch(path)):
      return await self._get(found)
    raise errors.invalid_argument(f"Malformed request: {method} {path}")

  async def _post(self, request, found):
    started = time.perf_counter()
    *names, method = found.groups()
    spec = _spec(*names)
    if method != "predict":
      raise errors.unimplemented(f"This server has no {method}, only predict.")
    status = "CANCELLED"
    gzip = "Content-Encoding" in request.headers
    inflate = _LARGEST_BODY if gzip else None
    compress = _takes_gzip(request)
    try:
      answer = await self._in_time(
        lambda body, interrupt: _predict(
          self._services, spec, body, inflate, compress, interrupt
        ),
        request,
      )
      status = "OK"
      response = web.Response(body=answer, content_type=_JSON)
      if compress and not isinstance(answer, bytes):
        response.headers["Content-Encoding"] = "gzip"
      return response
    except errors.ServingError as error:
      status = error.code.name
      raise
    except Exception:
      status = "INTERNAL"
      raise
    finally:
      seconds = time.perf_counter() - started
      self._metrics.request(spec.name, "Predict", "REST", status, seconds)

  async def _get(self, found):
    *names, resource = found.groups()
    if not names[0]:
      raise errors.invalid_argument("Missing model name in request.")
    spec = _spec(*names)
    ask = _metadata if resource else _status
    answer = await self._in_time(lambda *_: ask(self._services, spec))
    return web.Response(body=answer, content_type=_JSON)

  async def _in_time(self, job, request=None):
    """Runs a job on a request's body in a thread, with the timeout."""
    patience = float("inf") if self._timeout is None else self._timeout
    end = calls.end_of_waiting(patience)
    body = bytearray()
    try:
      # Also counts a call that waits for a thread.
      with self._calls.admitted():
        async with asyncio.timeout(self._timeout):
          if request is not None:
            await self._read(request, body)
          while True:
            try:
              return await self._in_thread(lambda stop: job(body, stop))
            except errors.StillLoadingError:
              if time.monotonic() >= end:
                raise
            await asyncio.sleep(calls.PAUSE)
    except TimeoutError as error:
      raise errors.ServingError(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        f"Timed out after {self._timeout} seconds (rest_api_timeout_in_ms).",
      ) from error
    finally:
      self._in_bodies -= len(body)

  async def _read(self, request, body):
    """Reads a body, within the limit for the bodies of all calls."""
    announced = request.content_length or 0
    if announced > _LARGEST_BODY:
      raise errors.too_large(_LARGEST_BODY)
    while True:
      if self._in_bodies + announced > _MOST_IN_BODIES:
        raise errors.ServingError(
          grpc.StatusCode.RESOURCE_EXHAUSTED,
          f"The requests of all callers take {_MOST_IN_BODIES >> 20} MiB: try "
          "again.",
        )
      chunk = await request.content.readany()
      if not chunk:
        return
      body += chunk
      self._in_bodies += len(chunk)
      announced = 0
      if len(body) > _LARGEST_BODY:
        raise errors.too_large(_LARGEST_BODY)

  async def _in_thread(self, job):
    interrupt = interrupts.Interrupt()

    def run():
      # The caller may have disconnected while the call waited for a thread.
      interrupt.check()
      return job(interrupt)

    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(self._pool, run)
    # Otherwise asyncio reports that its exception was never retrieved.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
      return await asyncio.shield(future)
    except asyncio.CancelledError:
      # In a thread: it may block, and this one serves other calls.
      loop.run_in_executor(self._stoppers, interrupt.set)
      raise
    finally:
      # Otherwise the future and its error, with its frames, are a cycle until
      # garbage is collected: 3 GB of bodies.
      del future


def _takes_gzip(request):
  return "gzip" in request.headers.get("Accept-Encoding", "")


def _predict(services, spec, body, inflate, compress, interrupt):
  """Runs the signature of a request; returns JSON, or a file if it is large.

  For `inflate` and `compress`, see `json_process`.
  """
  is_large = len(body) >= json_process.LARGE
  if inflate is not None and not is_large:
    try:
      body = json_process.inflated(body, min(inflate, json_process.LARGE))
      inflate = None
    except errors.TooLargeError:
      is_large = True
  document = None if is_large else json_inputs.parse(body)
  with services.models.use(spec) as servable:
    if is_large:
      read = json_process.read(body, servable.input_types, interrupt, inflate)
    else:
      read = json_inputs.read(document, servable.input_types)
    name, form, inputs = read
    outputs = servable.predict(
      name, inputs, interrupt=interrupt, run=services.run
    )
  if json_process.is_large(outputs):
    return json_process.write(form, outputs, compress, interrupt)
  return json_outputs.write(form, outputs)


def _status(services, spec):
  """Returns the states of a model's versions."""
  request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
  return _write(_plain(services.get_model_status(request)))


def _metadata(services, spec):
  """Returns a model's signatures."""
  request = get_model_metadata_pb2.GetModelMetadataRequest(
    model_spec=spec, metadata_field=["signature_def"]
  )
  response = services.get_model_metadata(request)
  signatures = get_model_metadata_pb2.SignatureDefMap()
  response.metadata["signature_def"].Unpack(signatures)
  return _write(
    {
      "model_spec": _plain(response.model_spec),
      "metadata": {"signature_def": _plain(signatures)},
    }
  )


def _plain(message):
  return json_format.MessageToDict(
    message,
    preserving_proto_field_name=True,
    always_print_fields_with_no_presence=True,
  )


def _write(value):
  return (json.dumps(value, indent=1) + "\n").encode()


def _spec(name, version, label):
  spec = model_pb2.ModelSpec(name=urllib.parse.unquote(name))
  if version is not None:
    # Python does not convert numbers of thousands of digits.
    digits = version.lstrip("0")
    if len(digits) > 19 or int(digits or "0") > _LARGEST_VERSION:
      raise errors.invalid_argument(
        f"Failed to convert version: {version} to numeric."
      )
    spec.version.value = int(version)
  if label is not None:
    spec.version_label = urllib.parse.unquote(label)
  return spec


def _metrics_path(file):
  """Returns the path of metrics for Prometheus; None if disabled."""
  if not file:
    return None
  config = text_protos.read(file, text_protos.MonitoringConfig)
  if not config.prometheus_config.enable:
    return None
  return config.prometheus_config.path or metrics.PATH


def _error(status, text):
  body = json.dumps({"error": text}).encode()
  return web.Response(body=body, status=status, content_type=_JSON)
