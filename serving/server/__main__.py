"""Serves exported models over gRPC and REST, as TensorFlow Serving does.

  python -m serving.server --model_name=demo --model_base_path=runs/demo/export

The flags are those of `tensorflow_model_server`, and a client of it needs no
change (see `options` and docs/serving.md).
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time

from absl import app
from absl import flags
from absl import logging
from etils import epy

from lc_keras import version
from serving.server import options as options_lib

with epy.lazy_imports():
  import tensorflow as tf

  from serving.server import batching
  from serving.server import batching_parameters
  from serving.server import calls as calls_lib
  from serving.server import credentials
  from serving.server import errors
  from serving.server import grpc_endpoint
  from serving.server import health as health_lib
  from serving.server import index_page
  from serving.server import lite_servables
  from serving.server import loading
  from serving.server import manager as manager_lib
  from serving.server import metrics as metrics_lib
  from serving.server import model_configs
  from serving.server import prediction_service
  from serving.server import rest
  from serving.server import rest_service
  from serving.server import servables
  from serving.server import text_protos
  from serving.server import versions
  from serving.server import warmup

_MICROS = 1e6


class Server:
  """A server that runs beside the caller.

  Attributes:
    manager: The models that it serves.
    port: Where gRPC is.
    rest_port: Where HTTP is; None if nowhere.
  """

  def __init__(self, options: options_lib.Options):
    """Takes the ports, answers from now on, and begins to load.

    Args:
      options: What the flags say.

    Raises:
      ValueError: A file cannot be read or meant, or a port cannot be taken.
    """
    self._options = options
    certificates = tokens = None
    if options.ssl_config_file:
      certificates = credentials.Certificates(options.ssl_config_file)
    if options.bearer_token_file:
      tokens = credentials.Tokens(options.bearer_token_file)
    self._batcher = _batcher(options)
    self._stopping = False
    self._closed = threading.Event()
    self._config = _config(options)
    self._health = self._rest = None
    self.manager = _manager(options, self._config, self._update_health)
    try:
      self._start(certificates, tokens)
    except BaseException:
      self._close()
      raise
    if options.model_config_file_poll_wait_seconds:
      threading.Thread(target=self._poll_config, daemon=True).start()

  def stop(self, grace: float) -> None:
    """Refuses new calls, lets those in flight finish, then unloads.

    The ports stay open meanwhile: who asks for health has to be told.

    Args:
      grace: Seconds that calls in flight have; what still runs then, stops.
    """
    if self._stopping:
      return
    self._stopping = True
    self._health.drain()
    end = time.monotonic() + grace
    for calls in (self._calls, self._rest_calls):
      calls.drain()
    for calls in (self._calls, self._rest_calls):
      calls.wait_until_idle(max(0.0, end - time.monotonic()))
    # Answers may still be on their way.
    self._grpc.stop(max(0.1, end - time.monotonic()) if grace else 0.0)
    if self._rest is not None:
      self._in_loop(self._rest.stop())
    self._close()

  def _start(self, certificates, tokens):
    options = self._options
    services = prediction_service.Services(
      self.manager,
      self._run,
      options.enable_serialization_as_tensor_content,
    )
    self._metrics = metrics_lib.Metrics(self.manager.knows)
    health = health_lib.Health(self.manager)
    health.update()
    self._health = health
    self._calls = calls_lib.Calls(options.grpc_max_threads)
    self._rest_calls = calls_lib.Calls()
    self._grpc = grpc_endpoint.GrpcEndpoint(
      services,
      self._calls,
      self._metrics,
      tokens,
      health if options.enable_grpc_healthcheck_service else None,
      options.channel_arguments(),
    )
    addresses = [f"0.0.0.0:{options.port}"]
    if options.grpc_socket_path:
      addresses.append(f"unix:{options.grpc_socket_path}")
    self._grpc.start(addresses, certificates)
    self.port, self.rest_port = self._grpc.port, None
    if options.rest_api_port:
      try:
        self._start_rest(services, certificates, tokens)
      except BaseException:
        self._grpc.stop(0.0)
        raise

  def _start_rest(self, services, certificates, tokens):
    options = self._options
    self._loop = asyncio.new_event_loop()
    threading.Thread(target=self._loop.run_forever, daemon=True).start()

    async def start():
      endpoint = rest.RestEndpoint(
        rest_service.RestService(self.manager, services),
        self._rest_calls,
        options.rest_api_num_threads,
        self._metrics,
        self._health,
        index_page.IndexPage(self.manager),
        tokens,
        _metrics_path(options),
        options.rest_api_timeout_in_ms / 1e3 or None,
        options.rest_api_enable_cors_support,
      )
      await endpoint.start(max(0, options.rest_api_port), certificates)
      return endpoint

    try:
      self._rest = self._in_loop(start())
    except BaseException:
      self._loop.call_soon_threadsafe(self._loop.stop)
      raise
    self.rest_port = self._rest.port

  def _close(self):
    self._closed.set()
    if self._batcher is not None:
      self._batcher.close()
    self.manager.close()
    if self._rest is not None:
      self._loop.call_soon_threadsafe(self._loop.stop)
    if self._options.grpc_socket_path:
      with contextlib.suppress(OSError):
        os.remove(self._options.grpc_socket_path)

  def _in_loop(self, coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

  def _run(self, servable, feeds, fetches, interrupt=None):
    started = time.perf_counter()
    if self._batcher is None:
      values = servable.run(feeds, fetches, interrupt)
    else:
      values = self._batcher.run(servable, feeds, fetches, interrupt)
    self._metrics.run(servable.name, time.perf_counter() - started)
    return values

  def _update_health(self):
    """Called from any thread when a model's state has changed."""
    if self._health is not None:  # Else it is about to be made.
      self._health.update()

  def _poll_config(self):
    """Follows the file of models until the server stops."""
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


def _config(options):
  if options.model_config_file:
    return model_configs.read(options.model_config_file)
  return model_configs.single(options.model_name, options.model_base_path)


def _batcher(options):
  if not options.enable_batching:
    return None
  parameters = batching_parameters.Parameters()
  if options.batching_parameters_file:
    parameters = batching_parameters.read(options.batching_parameters_file)
  return batching.Batcher(parameters)


def _metrics_path(options):
  if not options.monitoring_config_file:
    return None
  config = text_protos.read(
    options.monitoring_config_file, text_protos.MonitoringConfig
  ).prometheus_config
  return (config.path or metrics_lib.PATH) if config.enable else None


def _session_config(options):
  config = tf.compat.v1.ConfigProto()
  if options.tensorflow_session_config_file:
    config = text_protos.read(
      options.tensorflow_session_config_file, tf.compat.v1.ConfigProto
    )
  both = options.tensorflow_session_parallelism
  if threads := both or options.tensorflow_intra_op_parallelism:
    config.intra_op_parallelism_threads = threads
  if threads := both or options.tensorflow_inter_op_parallelism:
    config.inter_op_parallelism_threads = threads
  if fraction := options.per_process_gpu_memory_fraction:
    config.gpu_options.per_process_gpu_memory_fraction = fraction
  if options.mixed_precision:
    rewriting = config.graph_options.rewrite_options
    rewriting.auto_mixed_precision_onednn_bfloat16 = type(rewriting).ON
  return config


def _manager(options, config, on_change):
  session = _session_config(options)
  tags = options.saved_model_tags.split(",")
  # Calls of both ports can run at once.
  watched = min(64, options.grpc_max_threads + options.rest_api_num_threads)

  prefers_lite = options.prefer_tflite_model or options.use_tflite_model

  def load(name, number, path):
    lite = os.path.join(path, lite_servables.FILE)
    if prefers_lite and os.path.exists(lite):
      servable = lite_servables.LiteServable(
        name, number, path, options.num_tflite_pools
      )
    else:
      servable = servables.Servable(
        name,
        number,
        path,
        tags,
        session,
        watched,
        options.enable_signature_method_name_check,
      )
    if options.enable_model_warmup:
      try:
        warmup.run(servable, options.num_request_iterations_for_warmup or 1)
      except servables.LoadError:
        servable.close()
        raise
    if options.flush_filesystem_caches:
      versions.forget(path)
    shown = sorted(key for key in servable.signatures if key[:2] != "__")
    print(f"{name}, version {number}: {', '.join(shown)}", flush=True)
    return servable

  try:
    return manager_lib.Manager(
      config,
      load,
      loading.Settings(
        poll_wait=options.file_system_poll_wait_seconds,
        max_retries=options.max_num_load_retries,
        retry_interval=options.load_retry_interval_micros / _MICROS,
        load_threads=options.num_load_threads or min(4, os.cpu_count() or 1),
        unload_threads=options.num_unload_threads or 1,
        allow_unavailable_labels=(
          options.allow_version_labels_for_unavailable_models
        ),
      ),
      on_change,
    )
  except errors.ServingError as error:
    raise ValueError(f"{error.code.name}: {error.text}") from error


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  if flags.FLAGS.version:
    print(f"lc_keras: {version.__version__}\nTensorFlow: {tf.__version__}")
    return
  # Loading a SavedModel in a session is deprecated for everybody but servers.
  logging.set_verbosity(logging.ERROR)
  stopped = threading.Event()
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stopped.set())
  try:
    options = options_lib.from_flags(flags.FLAGS)
    server = Server(options)
  except ValueError as error:
    sys.exit(f"Failed to start server. Error: {error}")
  print(f"Serving gRPC on port {server.port}; Ctrl-C stops.", flush=True)
  if server.rest_port is not None:
    print(f"Serving HTTP on port {server.rest_port}.", flush=True)
  # What is there by now stays: looking through it at every collection of
  # garbage would hold up all calls.
  gc.collect()
  gc.freeze()
  # Again and again: only this thread runs what Python does about a signal, and
  # one that the system hands to another thread does not wake it.
  while not stopped.wait(1.0):
    pass
  print("Stopping: calls in flight finish first.", flush=True)
  server.stop(options.shutdown_grace_seconds)
  sys.stdout.flush()
  # A model that is loading, or a call that would not stop, keeps its thread:
  # nothing is left to wait for.
  os._exit(0)


def main() -> None:
  """Runs the program."""
  options_lib.define_flags(flags.FLAGS)
  app.run(_run)


if __name__ == "__main__":
  main()
