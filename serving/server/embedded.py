"""A server in this process: creates, starts and stops its parts."""

import asyncio
import contextlib
import os
import sys
import threading
import time
from concurrent import futures

import tensorflow as tf

from serving.server import batching
from serving.server import batching_parameters
from serving.server import calls
from serving.server import credentials
from serving.server import errors
from serving.server import grpc_endpoint
from serving.server import health
from serving.server import interrupts
from serving.server import manager
from serving.server import memory
from serving.server import metrics
from serving.server import model_configs
from serving.server import options
from serving.server import prediction_service
from serving.server import rest
from serving.server import servables
from serving.server import text_protos
from serving.server import versions

# Duration of the warm-up before a version is served, relative to its loading.
_WARM_UP = 0.5
# Calls of more rows run in few threads. Their priority is not lowered: a thread
# that holds the GIL without a CPU would stop all others.
_MANY_ROWS = 32
# So do calls with picture files, which begin like this: a few bytes can take a
# second and half a gigabyte.
_PICTURES = b"\xff\xd8\xff", b"\x89PNG"
# All calls share the intra-op threads in order: with as many as CPUs, a call of
# 40 ms takes 250 beside a large one. With one, small networks use half the CPU.
_HALF = max(1, (os.cpu_count() or 1) // 2)


class Server:
  """A server that runs in threads of this process.

  Attributes:
    manager: The models.
    port: The gRPC port.
    rest_port: The HTTP port; None if there is none.
  """

  def __init__(self, settings: options.Options):
    """Listens at the ports, and begins to load.

    Raises:
      ValueError: A file cannot be read or is not valid, or a port is not
        available.
    """
    self._options = settings
    certificates = tokens = self._batcher = None
    if settings.ssl_config_file:
      certificates = credentials.Certificates(settings.ssl_config_file)
    if settings.bearer_token_file:
      tokens = credentials.Tokens(settings.bearer_token_file)
    if settings.enable_batching:
      self._batcher = batching.Batcher(_batching(settings))
    if settings.model_config_file:
      self._config = model_configs.read(settings.model_config_file)
    else:
      self._config = model_configs.single(
        settings.model_name, settings.model_base_path
      )
    self._large = futures.ThreadPoolExecutor(_HALF, "large")
    self._pictures = futures.ThreadPoolExecutor(_HALF, "pictures")
    self._stopping = False
    self._trimmed = 0
    self._closed = threading.Event()
    self._health = self._rest = None
    try:
      self.manager = manager.Manager(
        self._config, _loader(settings), settings, self._update_health
      )
    except errors.ServingError as error:
      raise ValueError(f"{error.code.name}: {error.text}") from error
    try:
      self._start(certificates, tokens)
    except BaseException:
      self._close()
      raise
    if settings.model_config_file_poll_wait_seconds:
      threading.Thread(target=self._poll_config, daemon=True).start()

  def trim(self) -> None:
    """Returns memory to the system if calls have ended since the last time."""
    ended = self._calls.ended + self._rest_calls.ended
    if ended != self._trimmed:
      self._trimmed = ended
      memory.trim()

  def stop(self, grace: float) -> None:
    """Refuses new calls, waits for calls in flight, then unloads.

    The ports stay open meanwhile, for health checks. Calls that still run after
    `grace` seconds are stopped.
    """
    if self._stopping:
      return
    self._stopping = True
    self._health.drain()
    end = time.monotonic() + grace
    for running in (self._calls, self._rest_calls):
      running.drain()
    for running in (self._calls, self._rest_calls):
      running.wait_until_idle(max(0.0, end - time.monotonic()))
    # Answers may still be in transit.
    self._grpc.stop(max(0.1, end - time.monotonic()) if grace else 0.0)
    if self._rest is not None:
      self._in_loop(self._rest.stop())
    self._close()

  def _start(self, certificates, tokens):
    settings = self._options
    self._health = health.Health(self.manager)
    self._health.update()
    self._metrics = metrics.Metrics(self.manager.knows)
    self._calls = calls.Calls(
      settings.grpc_max_threads, settings.grpc_max_queued_calls
    )
    self._rest_calls = calls.Calls()
    services = prediction_service.Services(
      self.manager,
      self._run,
      settings.enable_serialization_as_tensor_content,
    )
    parts = self._metrics, self._health, tokens, settings
    self._grpc = grpc_endpoint.GrpcEndpoint(services, self._calls, *parts)
    addresses = [f"0.0.0.0:{settings.port}"]
    if settings.grpc_socket_path:
      addresses.append(f"unix:{settings.grpc_socket_path}")
    self._grpc.start(addresses, certificates)
    self.port, self.rest_port = self._grpc.port, None
    if not settings.rest_api_port:
      return
    self._loop = asyncio.new_event_loop()
    # aiohttp compresses answers in this executor, and reads large ones.
    self._loop.set_default_executor(
      futures.ThreadPoolExecutor(_HALF, "compress")
    )
    threading.Thread(target=self._loop.run_forever, daemon=True).start()

    async def start_rest():
      endpoint = rest.RestEndpoint(services, self._rest_calls, *parts)
      await endpoint.start(max(0, settings.rest_api_port), certificates)
      return endpoint

    try:
      self._rest = self._in_loop(start_rest())
    except BaseException:
      self._loop.call_soon_threadsafe(self._loop.stop)
      self._grpc.stop(0.0)
      raise
    self.rest_port = self._rest.port

  def _close(self):
    self._closed.set()
    if self._batcher is not None:
      self._batcher.close()
    for threads in (self._large, self._pictures):
      threads.shutdown(wait=False, cancel_futures=True)
    self.manager.close()
    if self._rest is not None:
      self._loop.call_soon_threadsafe(self._loop.stop)
    if self._options.grpc_socket_path:
      with contextlib.suppress(OSError):
        os.remove(self._options.grpc_socket_path)

  def _in_loop(self, coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

  def _run(self, servable, feeds, fetches, interrupt=None):
    """Runs a call's graph: in a batch, in a limited pool, or directly."""
    started = time.perf_counter()
    if self._batcher is not None:
      values = self._batcher.run(servable, feeds, fetches, interrupt)
    elif threads := self._few_threads(feeds):
      values = self._in_turn(threads, servable, feeds, fetches, interrupt)
    else:
      values = servable.run(feeds, fetches, interrupt)
    self._metrics.run(servable.name, time.perf_counter() - started)
    return values

  def _few_threads(self, feeds):
    """Returns the pool for a call that may be slow; None for a small one."""
    if any(map(_are_pictures, feeds.values())):
      return self._pictures
    rows = max((value.shape[:1] for value in feeds.values()), default=())
    return self._large if rows > (_MANY_ROWS,) else None

  def _in_turn(self, threads, servable, feeds, fetches, interrupt):
    """Runs a call in one of few threads, after earlier calls."""
    interrupt = interrupt or interrupts.Interrupt()
    turn = []
    # Cancels a run that waits; one that has begun is stopped by `run`.
    with interrupt.stopping_by(lambda: [future.cancel() for future in turn]):
      turn.append(threads.submit(servable.run, feeds, fetches, interrupt))
      try:
        return turn[0].result()
      except futures.CancelledError:
        interrupt.check()
        raise errors.unavailable("The server stops.") from None

  def _update_health(self):
    """Called in any thread when a model's state has changed."""
    if self._health is not None:  # None before `_start`.
      self._health.update()

  def _poll_config(self):
    """Applies changes of the configuration file until the server stops."""
    path = self._options.model_config_file
    while not self._closed.wait(
      self._options.model_config_file_poll_wait_seconds
    ):
      try:
        config = model_configs.read(path)
        if config != self._config:
          self.manager.reload(config)
          self._config = config
      except (errors.ServingError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr, flush=True)


def _are_pictures(value):
  first = value.flat[0] if value.dtype == object and value.size else None
  return isinstance(first, bytes) and first.startswith(_PICTURES)


def _batching(settings):
  if settings.batching_parameters_file:
    return batching_parameters.read(settings.batching_parameters_file)
  return batching_parameters.Parameters()


def _session_config(settings):
  config = tf.compat.v1.ConfigProto()
  if settings.tensorflow_session_config_file:
    config = text_protos.read(
      settings.tensorflow_session_config_file, tf.compat.v1.ConfigProto
    )
  both = settings.tensorflow_session_parallelism
  if threads := both or settings.tensorflow_intra_op_parallelism:
    config.intra_op_parallelism_threads = threads
  elif not config.intra_op_parallelism_threads:
    config.intra_op_parallelism_threads = _HALF
  if threads := both or settings.tensorflow_inter_op_parallelism:
    config.inter_op_parallelism_threads = threads
  if fraction := settings.per_process_gpu_memory_fraction:
    config.gpu_options.per_process_gpu_memory_fraction = fraction
  if settings.mixed_precision:
    rewriting = config.graph_options.rewrite_options
    rewriting.auto_mixed_precision_onednn_bfloat16 = type(rewriting).ON
  return config


def _loader(settings):
  """Returns a function that loads a version and warms it up.

  TensorFlow prepares each signature at its first run; for all signatures, this
  can take ten times as long as loading. So a version is warmed up for half of
  its loading time before it is served, and further in the background.
  """
  session = _session_config(settings)
  tags = settings.saved_model_tags.split(",")
  # Simultaneous calls of both ports.
  watched = min(64, settings.grpc_max_threads + settings.rest_api_num_threads)
  behind = futures.ThreadPoolExecutor(1, "warm_up")

  def load(name, number, path):
    began = time.monotonic()
    servable = servables.Servable(name, number, path, tags, session, watched)
    behind.submit(servable.prepare_to_stop)
    if settings.enable_model_warmup:
      loaded = time.monotonic()
      rest = servable.warming(settings.num_request_iterations_for_warmup or 1)
      try:
        for _ in rest:
          if time.monotonic() - loaded > _WARM_UP * (loaded - began):
            behind.submit(_warm_up, servable, rest)
            break
      except errors.LoadError:
        servable.close()
        raise
    if settings.flush_filesystem_caches:
      versions.drop_from_cache(path)
    shown = sorted(key for key in servable.signatures if key[:2] != "__")
    print(f"{name}, version {number}: {', '.join(shown)}", flush=True)
    return servable

  return load


def _warm_up(servable, rest):
  """Runs the remaining warm-up requests of a version in service."""
  try:
    for _ in rest:
      pass
  except errors.LoadError as error:
    if not servable.closed:
      print(f"Error: {error} It stays in service.", file=sys.stderr, flush=True)
