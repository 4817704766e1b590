"""Tests of the server's flags."""

import contextlib
import io
import os

from absl import flags
from absl.testing import parameterized

from serving.server import options

_MODEL = "--model_base_path=/models"


def _parse(*arguments):
  values = flags.FlagValues()
  options.define_flags(values)
  values(["server", *arguments])
  return options.from_flags(values)


class OptionsTest(parameterized.TestCase):
  def test_defaults_are_those_of_tensorflow_serving(self):
    parsed = _parse(_MODEL)
    cpus = os.cpu_count()
    for name, value in {
      "port": 8500,
      "rest_api_port": 0,
      "rest_api_num_threads": 4 * cpus,
      "rest_api_timeout_in_ms": 30000,
      "grpc_max_threads": 4 * cpus,
      "model_name": "default",
      "model_config_file_poll_wait_seconds": 0,
      "file_system_poll_wait_seconds": 1,
      "max_num_load_retries": 5,
      "load_retry_interval_micros": 60 * 1000 * 1000,
      "enable_batching": False,
      "enable_model_warmup": True,
      "enable_grpc_healthcheck_service": False,
      "enable_serialization_as_tensor_content": False,
      "allow_version_labels_for_unavailable_models": False,
      "saved_model_tags": "serve",
    }.items():
      self.assertEqual(getattr(parsed, name), value, name)

  def test_values(self):
    parsed = _parse(
      _MODEL,
      "--port=0",
      "--enable_batching",
      "--enable_model_warmup=false",
      "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,a.b=c=d",
    )
    self.assertEqual(parsed.port, 0)
    self.assertTrue(parsed.enable_batching)
    self.assertFalse(parsed.enable_model_warmup)
    self.assertEqual(
      parsed.channel_arguments(),
      {"grpc.max_connection_age_ms": 2000, "a.b": "c=d"},
    )

  def test_flags_without_effect(self):
    for flag, warned in (
      ("--xla_gpu_compilation_enabled", True),
      ("--thread_pool_factory_config_file=pools.txt", True),
      ("--prefer_tflite_model", True),
      ("--noenable_profiler", True),
      ("--enable_profiler", False),
      ("--use_alts_credentials=false", False),
      ("--platform_config_file=", False),
    ):
      with contextlib.redirect_stderr(io.StringIO()) as said:
        _parse(_MODEL, flag)
      self.assertEqual(said.getvalue().startswith("Warning: --"), warned, flag)

  @parameterized.parameters(
    (["--use_alts_credentials"], "--use_alts_credentials is not supported"),
    (["--platform_config_file=x"], "--platform_config_file is not supported"),
    (["--enable_per_model_batching_parameters"], "is not supported"),
    (["--mixed_precision=float16"], "must be bfloat16, got 'float16'"),
    (["--model_base_path="], "Both --model_base_path and --model_config_file"),
    (["--batching_parameters_file=x"], "without setting --enable_batching"),
    (["--port=81", "--rest_api_port=81"], "cannot be same as --port"),
    (["--monitoring_config_file=x"], "needs a --rest_api_port"),
    (["--grpc_channel_arguments=x"], "must be name=value"),
    (
      [
        "--tensorflow_session_parallelism=1",
        "--tensorflow_intra_op_parallelism=1",
      ],
      "Either configure",
    ),
  )
  def test_refuses(self, arguments, text):
    with self.assertRaisesRegex(ValueError, text):
      _parse(_MODEL, *arguments)

  @parameterized.parameters(
    "--port=65536",
    "--rest_api_port=-2",
    "--grpc_max_threads=0",
    "--shutdown_grace_seconds=-1",
    "--per_process_gpu_memory_fraction=1.5",
  )
  def test_bad_values(self, argument):
    with self.assertRaisesRegex(
      flags.IllegalFlagValueError, argument.split("=")[0].strip("-")
    ):
      _parse(_MODEL, argument)
