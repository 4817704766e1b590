"""Python programs that run as children of a program, and end with it."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen]:
  """Runs `python ARGUMENTS` within the block, which no exception outlives.

  At its end, the program receives SIGTERM, and may save its state. A second
  exception, such as that of another Ctrl-C, kills it. Within
  `preemption.raising`, a signal to this process is such an exception.
  """
  program = subprocess.Popen([sys.executable, *arguments])
  try:
    yield program
  finally:
    program.terminate()
    try:
      program.wait()
    finally:
      program.kill()
      program.wait()
