"""Flags of `tensorflow_model_server` that say what this server has not got.

A command line that works there works here: none of them is unknown. What makes
no difference to any answer is taken without a word, what might is said, and
where another answer, or none of the security that was asked for, would be the
outcome, the server does not start.
"""

import dataclasses
import sys

from absl import flags


@dataclasses.dataclass(frozen=True)
class _Flag:
  """A flag.

  Attributes:
    default: TensorFlow Serving's.
    text: What is so about it here.
    refused: Whether the server does not start with any other value; else it
      says the text, and does.
    silent: Whether not even that.
  """

  default: bool | int | str
  text: str
  refused: bool = False
  silent: bool = False


_FLAGS = {
  "use_alts_credentials": _Flag(
    False, "ALTS is Google's own: use --ssl_config_file.", refused=True
  ),
  "platform_config_file": _Flag(
    "",
    "There is one platform, tensorflow: its settings have flags of their own, "
    "and --tensorflow_session_config_file.",
    refused=True,
  ),
  "enable_per_model_batching_parameters": _Flag(
    False,
    "All models are batched alike: use --batching_parameters_file, or a server "
    "for each model.",
    refused=True,
  ),
  "num_tflite_interpreters_per_pool": _Flag(
    1, "--num_tflite_pools says how many run at once.", silent=True
  ),
  "thread_pool_factory_config_file": _Flag(
    "", "A call runs in the thread that has taken it."
  ),
  "enable_profiler": _Flag(
    True, "There is no ProfilerService, which this would switch.", silent=True
  ),
  "xla_cpu_compilation_enabled": _Flag(
    False, "XLA compiles what a model asks it to in any case.", silent=True
  ),
  "xla_gpu_compilation_enabled": _Flag(
    False, "XLA compiles what a model asks it to in any case.", silent=True
  ),
  "remove_unused_fields_from_bundle_metagraph": _Flag(
    True, "Of the graph, what is served stays in memory anyway.", silent=True
  ),
  "skip_initialize_tpu": _Flag(
    False, "TPUs are not initialized in any case.", silent=True
  ),
}
_DEFINE = {
  bool: flags.DEFINE_bool,
  int: flags.DEFINE_integer,
  str: flags.DEFINE_string,
}


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags."""
  for name, flag in _FLAGS.items():
    _DEFINE[type(flag.default)](
      name, flag.default, flag.text, flag_values=values
    )


def check(values: flags.FlagValues) -> None:
  """Says what is so about those that have been set.

  Raises:
    ValueError: The server would not be what was asked for.
  """
  for name, flag in _FLAGS.items():
    if values[name].value == flag.default or flag.silent:
      continue
    if flag.refused:
      raise ValueError(f"--{name} is not supported. {flag.text}")
    print(
      f"Warning: --{name} makes no difference. {flag.text}",
      file=sys.stderr,
      flush=True,
    )
