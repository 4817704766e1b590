"""Tests of the server's flags."""

import contextlib
import io
import os

from absl import flags
from absl.testing import absltest
from absl.testing import parameterized

from serving.server import options


def _parse(*arguments):
  values = flags.FlagValues()
  options.define_flags(values)
  values(["server", *arguments])
  return options.from_flags(values)


class OptionsTest(parameterized.TestCase):
  def test_defaults_are_those_of_tensorflow_serving(self):
    parsed = _parse("--model_base_path=/models")
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
      "enable_signature_method_name_check": False,
    }.items():
      self.assertEqual(getattr(parsed, name), value, name)

  def test_values(self):
    parsed = _parse(
      "--model_base_path=/models",
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

  def test_flags_that_there_is_nothing_for(self):
    parse = ["--model_base_path=/m"]
    for flag in (
      "--enable_profiler=false",
      "--xla_cpu_compilation_enabled=true",
      "--xla_gpu_compilation_enabled",
      "--remove_unused_fields_from_bundle_metagraph=false",
      "--skip_initialize_tpu=true",
      "--num_tflite_pools=2",
      "--num_tflite_interpreters_per_pool=2",
      "--use_alts_credentials=false",
      "--platform_config_file=",
    ):
      with contextlib.redirect_stderr(io.StringIO()) as said:
        _parse(*parse, flag)
      self.assertEqual(said.getvalue(), "", flag)
    for flag in ("--thread_pool_factory_config_file=pools.txt",):
      with contextlib.redirect_stderr(io.StringIO()) as said:
        _parse(*parse, flag)
      name = flag.partition("=")[0]
      self.assertStartsWith(said.getvalue(), f"Warning: {name} makes no ")

  @parameterized.parameters(
    *(
      (["--model_base_path=/m", flag], f"{flag.partition('=')[0]} is not")
      for flag in (
        "--use_alts_credentials",
        "--platform_config_file=x",
        "--enable_per_model_batching_parameters=true",
      )
    ),
    (
      ["--model_base_path=/m", "--mixed_precision=float16"],
      "--mixed_precision must be bfloat16, got 'float16'",
    ),
    ([], "Both --model_base_path and --model_config_file are empty!"),
    (
      ["--model_base_path=/m", "--batching_parameters_file=x"],
      "without setting --enable_batching",
    ),
    (
      ["--model_base_path=/m", "--port=81", "--rest_api_port=81"],
      "--rest_api_port cannot be same as --port",
    ),
    (
      ["--model_base_path=/m", "--monitoring_config_file=x"],
      "needs a --rest_api_port",
    ),
    (
      ["--model_base_path=/m", "--grpc_channel_arguments=x"],
      "must be name=value",
    ),
    (
      [
        "--model_base_path=/m",
        "--tensorflow_session_parallelism=1",
        "--tensorflow_intra_op_parallelism=1",
      ],
      "Either configure",
    ),
  )
  def test_what_does_not_go_together(self, arguments, text):
    with self.assertRaisesRegex(ValueError, text):
      _parse(*arguments)

  @parameterized.parameters(
    "--port=65536",
    "--port=x",
    "--rest_api_port=-2",
    "--grpc_max_threads=0",
    "--rest_api_timeout_in_ms=-1",
    "--max_num_load_retries=-1",
    "--shutdown_grace_seconds=-1",
    "--per_process_gpu_memory_fraction=1.5",
    "--enable_batching=perhaps",
  )
  def test_bad_values(self, argument):
    with self.assertRaisesRegex(
      flags.IllegalFlagValueError, argument.split("=")[0].strip("-")
    ):
      _parse("--model_base_path=/models", argument)

  def test_unknown_flags(self):
    with self.assertRaises(flags.UnrecognizedFlagError):
      _parse("--model_base_path=/models", "--no_such_flag=1")


if __name__ == "__main__":
  absltest.main()
