"""The HTTP port: TensorFlow Serving's REST interface, metrics, health, a page.

On aiohttp, which says when a caller has gone away, and knows TLS and gzip.
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

    Args:
      services: Answer the requests.
      running: Counts the calls that run.
      counters: Counts and times them.
      healthy: Whether the server is ready.
      tokens: Those that callers may bring; None admits all callers.
      settings: Of the server.

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
    # Apart from the pool: stopping a call must not wait for other calls.
    self._stoppers = futures.ThreadPoolExecutor(2, "stop")
    # Requests may be of any size.
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/{path:.*}", self._handle)
    self._runner = web.AppRunner(
      app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )

  async def start(
    self,
    port: int,
    certificates: credentials.Certificates | None = None,
  ) -> None:
    """Takes the port and answers from now on.

    Args:
      port: 0 picks a free one.
      certificates: For TLS; None means without.

    Raises:
      ValueError: It cannot be taken.
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
    except errors.ServingError as error:
      response = _error(_STATUSES.get(error.code, 500), error.text)
    except web.RequestPayloadError as error:  # It says gzip, and is none.
      response = _error(400, f"The body cannot be read: {error}")
    except Exception as error:  # The caller must get an answer.
      logging.exception("%s %s failed", request.method, request.path)
      response = _error(500, str(error))
    if self._cors:
      response.headers.update(_CORS)
      if self._tokens is not None:
        response.headers["Access-Control-Allow-Headers"] += ", Authorization"
    accepts_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
    if accepts_gzip and len(response.body or b"") >= _WORTH_COMPRESSING:
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
      text = await self._in_time(lambda _: self._page.html())
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
    try:
      body = await request.read()
      answer = await self._in_time(
        lambda interrupt: _predict(self._services, spec, body, interrupt)
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
      self._metrics.request(spec.name, "Predict", "REST", status, seconds)

  async def _get(self, found):
    *names, resource = found.groups()
    if not names[0]:
      raise errors.invalid_argument("Missing model name in request.")
    spec = _spec(*names)
    ask = _metadata if resource else _status
    answer = await self._in_time(lambda _: ask(self._services, spec))
    return web.Response(body=answer, content_type=_JSON)

  async def _in_time(self, job):
    """Runs a job in a thread; stops it if it takes too long."""
    patience = float("inf") if self._timeout is None else self._timeout
    end = calls.end_of_waiting(patience)
    try:
      # A call that still waits for a thread counts, too.
      with self._calls.admitted():
        async with asyncio.timeout(self._timeout):
          while True:
            try:
              return await self._in_thread(job)
            except errors.StillLoadingError:
              if time.monotonic() >= end:
                raise
            await asyncio.sleep(calls.PAUSE)
    except TimeoutError as error:
      raise errors.ServingError(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        f"Timed out after {self._timeout} seconds (rest_api_timeout_in_ms).",
      ) from error

  async def _in_thread(self, job):
    interrupt = interrupts.Interrupt()

    def run():
      # The caller may have gone while the call waited for a thread.
      interrupt.check()
      return job(interrupt)

    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(self._pool, run)
    # Else asyncio reports that nobody has read its exception.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
      return await asyncio.shield(future)
    except asyncio.CancelledError:
      # In a thread: it may take a moment, and this one has other calls.
      loop.run_in_executor(self._stoppers, interrupt.set)
      raise


def _predict(services, spec, body, interrupt):
  """Runs the signature that a request names."""
  document = json_inputs.parse(body)
  name = json_inputs.signature_name(document)
  with services.models.use(spec) as servable:
    signature = servable.signatures.get(name)
    if signature is None:
      raise errors.invalid_argument(
        f'Serving signature name: "{name}" not found in signature def'
      )
    if not signature.inputs:
      raise errors.invalid_argument(
        f"Failed to get input map for signature: {name}"
      )
    form, inputs = json_inputs.read(document, signature.inputs)
    outputs = servable.predict(
      name, inputs, interrupt=interrupt, run=services.run
    )
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
    if int(version) > _LARGEST_VERSION:
      raise errors.invalid_argument(
        f"Failed to convert version: {version} to numeric."
      )
    spec.version.value = int(version)
  if label is not None:
    spec.version_label = urllib.parse.unquote(label)
  return spec


def _metrics_path(file):
  """Returns the path that Prometheus reads; None if it reads none."""
  if not file:
    return None
  config = text_protos.read(file, text_protos.MonitoringConfig)
  if not config.prometheus_config.enable:
    return None
  return config.prometheus_config.path or metrics.PATH


def _error(status, text):
  return web.json_response({"error": text}, status=status)
