"""The flags of the server, with TensorFlow Serving's names and defaults.

A few additional flags follow at the end. All flags of `tensorflow_model_server`
exist, so that its command lines work here: `_WITHOUT_EFFECT` and `_REFUSED`
list those that this server does not implement.
"""

import dataclasses
import os
import sys

from absl import flags

# Flags defined here are listed under the program that calls `define_flags`.
flags.disclaim_key_flags()

_CPUS = os.cpu_count() or 1
_LARGEST_PORT = 65535


def _flag(default, help_text, lowest=None, highest=None):
  bounds = {"lower_bound": lowest, "upper_bound": highest}
  if isinstance(default, bool | str):
    bounds = {}
  return dataclasses.field(
    default=default, metadata={"help": help_text, "bounds": bounds}
  )


@dataclasses.dataclass(frozen=True)
class Options:
  """The settings of a server; each attribute is the flag of its name.

  Raises:
    ValueError: The settings contradict each other.
  """

  port: int = _flag(
    8500,
    "TCP port for gRPC; 0 picks a free one and prints it.",
    0,
    _LARGEST_PORT,
  )
  grpc_socket_path: str = _flag(
    "", "Path of a UNIX socket that answers gRPC as well; none if empty."
  )
  rest_api_port: int = _flag(
    0,
    "TCP port for HTTP; 0 means that there is none, and -1 picks a free one.",
    -1,
    _LARGEST_PORT,
  )
  rest_api_num_threads: int = _flag(
    4 * _CPUS,
    "How many HTTP calls are answered at once; more wait. By default 4 per "
    "CPU.",
    1,
  )
  rest_api_timeout_in_ms: int = _flag(
    30_000, "Milliseconds that an HTTP call may take; 0 means any time.", 0
  )
  rest_api_enable_cors_support: bool = _flag(
    False, "Let web pages of other servers call."
  )
  model_name: str = _flag(
    "default", "The name that clients use for the model of --model_base_path."
  )
  model_base_path: str = _flag(
    "",
    "Folder with a model's versions, each in a folder named by its number; the "
    "newest is served.",
  )
  model_config_file: str = _flag(
    "",
    "A ModelServerConfig in text form: several models, version policies, "
    "labels. --model_name and --model_base_path are ignored then.",
  )
  model_config_file_poll_wait_seconds: int = _flag(
    0, "Seconds between two looks at --model_config_file; 0 looks once.", 0
  )
  file_system_poll_wait_seconds: int = _flag(
    1,
    "Seconds between two looks for new versions; 0 looks once, below 0 never.",
  )
  num_load_threads: int = _flag(
    0, "How many versions load at once; 0 means one per CPU, 4 at most.", 0
  )
  num_unload_threads: int = _flag(
    0, "How many versions unload at once; 0 means one.", 0
  )
  max_num_load_retries: int = _flag(
    5,
    "How often a version that cannot be loaded is tried again. A change in its "
    "folder resets the count.",
    0,
  )
  load_retry_interval_micros: int = _flag(
    60_000_000,
    "The longest pause before a version is tried again, in microseconds; the "
    "first pause is a second, every further one twice as long.",
    0,
  )
  allow_version_labels_for_unavailable_models: bool = _flag(
    False, "Let a new label name a version that is not loaded yet."
  )
  saved_model_tags: str = _flag(
    "serve", "Tags of the graph to serve, separated by commas."
  )
  flush_filesystem_caches: bool = _flag(
    True,
    "Once a version is loaded, tell the system that its files need not stay in "
    "memory.",
  )
  enable_model_warmup: bool = _flag(
    True,
    "Run the requests in assets.extra/tf_serving_warmup_requests: for half as "
    "long as it took to load before a version is served, the rest beside "
    "calls.",
  )
  num_request_iterations_for_warmup: int = _flag(
    0, "How often each of these requests is run; 0 means once.", 0
  )
  enable_batching: bool = _flag(
    False, "Run calls that come at the same time together."
  )
  batching_parameters_file: str = _flag(
    "", "BatchingParameters in text form, with --enable_batching."
  )
  enable_serialization_as_tensor_content: bool = _flag(
    False,
    "Write outputs as tensor_content: smaller and faster, for clients that "
    "read it.",
  )
  grpc_max_threads: int = _flag(
    4 * _CPUS,
    "How many gRPC calls run at once; more are refused with "
    "RESOURCE_EXHAUSTED. By default 4 per CPU.",
    1,
  )
  grpc_channel_arguments: str = _flag(
    "", "Arguments of the gRPC channels: name=value, separated by commas."
  )
  enable_grpc_healthcheck_service: bool = _flag(
    False, "Answer gRPC's health service: the server, and each model by name."
  )
  ssl_config_file: str = _flag(
    "", "An SSLConfig in text form: both ports use TLS then."
  )
  monitoring_config_file: str = _flag(
    "", "A MonitoringConfig in text form, for Prometheus to read over HTTP."
  )
  tensorflow_session_parallelism: int = _flag(
    0,
    "Threads of TensorFlow, within and between operations; 0 leaves them to "
    "the two flags.",
    0,
  )
  tensorflow_intra_op_parallelism: int = _flag(
    0,
    "Threads of TensorFlow within an operation, for all calls; 0 means half as "
    "many as there are CPUs.",
    0,
  )
  tensorflow_inter_op_parallelism: int = _flag(
    0,
    "Threads of TensorFlow between operations while a model loads; 0 means "
    "all. A call runs in one.",
    0,
  )
  tensorflow_session_config_file: str = _flag(
    "",
    "A ConfigProto in text form, of TensorFlow's sessions; the flags on threads"
    " and memory override it.",
  )
  mixed_precision: str = _flag(
    "",
    "bfloat16 lets graphs compute in it where oneDNN can; answers are less "
    "precise.",
  )
  per_process_gpu_memory_fraction: float = _flag(
    0.0, "Part of a GPU's memory to take, from 0 to 1; 0 leaves it open.", 0, 1
  )
  shutdown_grace_seconds: float = _flag(
    30.0,
    "After SIGTERM or Ctrl-C: seconds that calls in flight have to finish.",
    0,
  )
  grpc_max_queued_calls: int = _flag(
    0,
    "How many gRPC calls beyond --grpc_max_threads wait for a thread, until "
    "their deadline, instead of being refused.",
    0,
    800,
  )
  grpc_max_message_mb: int = _flag(
    16,
    "How many MiB a gRPC message to the server may have. Larger ones are "
    "refused before they are read.",
    1,
    2047,
  )
  bearer_token_file: str = _flag(
    "",
    "A file of tokens, one a line: every call to either port must bring one. "
    "The file is read again when it changes.",
  )

  def __post_init__(self):
    if not (self.model_base_path or self.model_config_file):
      raise ValueError(
        "Both --model_base_path and --model_config_file are empty! Name a "
        "folder of versions, or a file of models."
      )
    if self.batching_parameters_file and not self.enable_batching:
      raise ValueError(
        "--batching_parameters_file is set without setting --enable_batching "
        "to true."
      )
    if self.rest_api_port == self.port and self.rest_api_port > 0:
      raise ValueError("--rest_api_port cannot be same as --port.")
    if self.monitoring_config_file and not self.rest_api_port:
      raise ValueError("--monitoring_config_file needs a --rest_api_port.")
    if self.tensorflow_session_parallelism and (
      self.tensorflow_intra_op_parallelism
      or self.tensorflow_inter_op_parallelism
    ):
      raise ValueError(
        "Either configure --tensorflow_session_parallelism or "
        "(--tensorflow_intra_op_parallelism, "
        "--tensorflow_inter_op_parallelism) separately."
      )
    if self.mixed_precision not in ("", "bfloat16"):
      raise ValueError(
        f"--mixed_precision must be bfloat16, got {self.mixed_precision!r}."
      )
    self.channel_arguments()

  def channel_arguments(self) -> dict[str, int | str]:
    """Returns --grpc_channel_arguments by name.

    Raises:
      ValueError: An argument is not name=value.
    """
    arguments = {}
    for argument in filter(None, self.grpc_channel_arguments.split(",")):
      name, equals, value = argument.partition("=")
      if not (name and equals):
        raise ValueError(
          "--grpc_channel_arguments must be name=value, separated by commas; "
          f"got {argument!r}."
        )
      try:
        arguments[name] = int(value)
      except ValueError:
        arguments[name] = value
    return arguments


# TensorFlow Serving's defaults of flags that do not affect answers.
_WITHOUT_EFFECT = {
  "enable_profiler": True,
  "enable_signature_method_name_check": False,
  "num_tflite_interpreters_per_pool": 1,
  "num_tflite_pools": 1,
  "prefer_tflite_model": False,
  "remove_unused_fields_from_bundle_metagraph": True,
  "skip_initialize_tpu": False,
  "thread_pool_factory_config_file": "",
  "use_tflite_model": False,
  "xla_cpu_compilation_enabled": False,
  "xla_gpu_compilation_enabled": False,
}
# The server does not start with these: it would lack their security, or give
# other answers.
_REFUSED = {
  "enable_per_model_batching_parameters": (
    False,
    "All models are batched alike: use --batching_parameters_file, or a server "
    "for each model.",
  ),
  "platform_config_file": (
    "",
    "The one platform, tensorflow, has flags of its own, and "
    "--tensorflow_session_config_file.",
  ),
  "use_alts_credentials": (
    False,
    "ALTS is Google's own: use --ssl_config_file.",
  ),
}
_DEFINE = {
  bool: flags.DEFINE_bool,
  float: flags.DEFINE_float,
  int: flags.DEFINE_integer,
  str: flags.DEFINE_string,
}


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags; not on import, since other programs share names."""

  def define(name, default, text, **bounds):
    _DEFINE[type(default)](name, default, text, flag_values=values, **bounds)

  define("version", False, "Print versions and do nothing else.")
  for name, default in _WITHOUT_EFFECT.items():
    define(name, default, "Accepted without effect.")
  for name, (default, text) in _REFUSED.items():
    define(name, default, f"Not supported. {text}")
  for field in dataclasses.fields(Options):
    metadata = field.metadata
    define(field.name, field.default, metadata["help"], **metadata["bounds"])


def from_flags(values: flags.FlagValues) -> Options:
  """Returns the flags' values; warns of flags that have no effect.

  Raises:
    ValueError: The flags contradict each other, or one is not supported.
  """
  for name, (default, text) in _REFUSED.items():
    if values[name].value != default:
      raise ValueError(f"--{name} is not supported. {text}")
  for name, default in _WITHOUT_EFFECT.items():
    if values[name].value != default:
      print(f"Warning: --{name} has no effect.", file=sys.stderr, flush=True)
  names = [field.name for field in dataclasses.fields(Options)]
  return Options(**{name: getattr(values, name) for name in names})
