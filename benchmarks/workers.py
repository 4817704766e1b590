"""Programs that are held ready and given work in turn (see `tasks`)."""

import json
import os
import pathlib
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
OURS = sys.executable
TORCH = str(ROOT / ".venv-torch/bin/python")


class Worker:
  """A program that runs until the end of a `with` block.

  It is stopped while it has no orders, so that its threads cannot take the
  processor from another that is being timed.
  """

  def __init__(self, python: str, module: str, *arguments: str):
    """Starts it.

    Args:
      python: OURS or TORCH.
      module: The program, which calls `tasks.serve`.
      *arguments: Its arguments.

    Raises:
      FileNotFoundError: PyTorch is not installed.
    """
    if not os.path.exists(python):
      raise FileNotFoundError(
        f"{python} is not there. `make bench` installs it; so does "
        "tools/install.sh torch."
      )
    self._command = [python, "-m", module, *arguments]
    # The variables that choose a slower OpenBLAS are for older versions of it.
    slower = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    inherited = {k: v for k, v in os.environ.items() if k not in slower}
    self._process = subprocess.Popen(
      self._command,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      cwd=ROOT,
      env={**inherited, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._process.kill()
    self._process.wait()
    self._process.stdin.close()
    self._process.stdout.close()

  def do(self, order: str, **arguments) -> dict:
    """Gives an order and waits until it is done.

    Raises:
      RuntimeError: It failed.
    """
    self._process.send_signal(signal.SIGCONT)
    self._process.stdin.write(json.dumps({"do": order, **arguments}) + "\n")
    self._process.stdin.flush()
    line = self._process.stdout.readline()
    if not line:
      raise RuntimeError(f"{self} ended with {self._process.wait()}.")
    self._process.send_signal(signal.SIGSTOP)
    # It runs on for a moment, which the next to be timed would share.
    until = os.WSTOPPED | os.WEXITED | os.WNOWAIT
    os.waitid(os.P_PID, self._process.pid, until)
    answer = json.loads(line)
    if "error" in answer:
      raise RuntimeError(f"{self} failed:\n{answer['error']}")
    return answer

  def __str__(self):
    return " ".join(self._command)
