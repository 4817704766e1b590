"""Runs programs in the process of a test."""

import contextlib
import io
import types

from absl import flags


def parsed(job: types.ModuleType, *arguments: str) -> flags.FlagValues:
  """Returns the flags of a job, a module, as its program parses them."""
  values = flags.FlagValues()
  job.define_flags(values)
  values([job.__name__, *arguments])
  return values


def run(job: types.ModuleType, *arguments: str) -> str:
  """Runs a job like `python -m`; returns its output on both streams."""
  values, said = parsed(job, *arguments), io.StringIO()
  with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    job.run_job(values)
  return said.getvalue()
