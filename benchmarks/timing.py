"""Times workers that do the same work in turn, and reports ratios.

A worker is a program, which is stopped (SIGSTOP) while another one is timed, so
that its threads cannot use the processor. `tasks` is the worker's side.
"""

import contextlib
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
import psutil
import tqdm
from absl import app
from absl import flags
from absl import logging

from lc_keras import files
from lc_keras import plotting
from trainers import provenance

ROOT = pathlib.Path(__file__).parents[1]
ROUNDS = 7
SECONDS = 1.0
# Relative difference of two losses that the order of summation explains.
_TOLERANCE = 1e-4
_TORCH = str(ROOT / ".venv-torch/bin/python")
_OUT_DIR = flags.DEFINE_string(
  "out_dir", "docs/results", "Folder for the results."
)


class Worker:
  """A program that executes orders until the end of a `with` block."""

  def __init__(self, python: str, module: str, *arguments: str):
    """Starts the program.

    Args:
      python: The interpreter.
      module: The program, which calls `tasks.serve`.
      *arguments: Its arguments.

    Raises:
      FileNotFoundError: PyTorch is not installed.
    """
    if not os.path.exists(python):
      raise FileNotFoundError(
        f"{python} does not exist. `make bench` installs it; so does "
        "tools/install.sh torch."
      )
    self._command = [python, "-m", module, *arguments]
    # Some machines set these to a slower OpenBLAS, for its old versions.
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
    """Sends an order, waits for the answer and stops the program.

    Raises:
      RuntimeError: The program failed.
    """
    self._process.send_signal(signal.SIGCONT)
    self._process.stdin.write(json.dumps({"do": order, **arguments}) + "\n")
    self._process.stdin.flush()
    line = self._process.stdout.readline()
    if not line:
      raise RuntimeError(f"{self} ended with {self._process.wait()}.")
    self._process.send_signal(signal.SIGSTOP)
    # Waits until the program is stopped: nothing else may be timed before.
    until = os.WSTOPPED | os.WEXITED | os.WNOWAIT
    os.waitid(os.P_PID, self._process.pid, until)
    answer = json.loads(line)
    if "error" in answer:
      raise RuntimeError(f"{self} failed:\n{answer['error']}")
    return answer

  def __str__(self):
    return " ".join(self._command)


def against_torch(
  name: str, case: Mapping, ours: str, theirs: str, unit: str = "images/s"
) -> dict:
  """Compares with PyTorch, eager and with torch.compile; see `compare`."""
  commands = {
    "ours": (sys.executable, ours, "--worker"),
    "torch eager": (_TORCH, theirs),
    "torch.compile": (_TORCH, theirs, "--compile"),
  }
  with contextlib.ExitStack() as stack:
    workers = {
      key: stack.enter_context(Worker(*command))
      for key, command in commands.items()
    }
    return compare(name, case, workers, unit)


def compare(
  name: str,
  case: Mapping,
  workers: Mapping[str, Worker],
  unit: str = "images/s",
  rounds: int = ROUNDS,
  seconds: float = SECONDS,
) -> dict:
  """Compares workers that do the same work in turn.

  Args:
    name: Name of the comparison.
    case: Describes the task that each worker builds.
    workers: By name; lc_keras is the first, the others are its peers.
    unit: Unit of the rates, `items` a second.
    rounds: Number of measurements of each worker.
    seconds: Least duration of each.

  Returns:
    "rates" of each worker by round, "ratios" of the first to each peer's
    (median, min and max over rounds), "sgemm_shares" (of the speed of a matrix
    product), "cpu_ms_per_step", "peak_bytes", and the answers to "build" as
    "same".

  Raises:
    ValueError: Two workers have different networks or losses.
  """
  with tempfile.TemporaryDirectory() as folder:
    built = {
      key: worker.do("build", case=case, folder=folder)
      for key, worker in workers.items()
    }
  _check_same(name, built)
  speeds, cpu, sgemm = in_turn(name, workers, rounds, seconds)
  ours = built[next(iter(built))]
  rates = {key: ours["items"] * values for key, values in speeds.items()}
  shares = {
    key: spread(ours["flops"] * values / sgemm)
    for key, values in speeds.items()
    if ours["flops"]
  }
  return {
    **row(name, unit, rates),
    "sgemm_shares": shares,
    "cpu_ms_per_step": {
      key: spread(1e3 * values) for key, values in cpu.items()
    },
    "peak_bytes": {
      key: worker.do("peak")["bytes"] for key, worker in workers.items()
    },
    "same": built,
  }


def in_turn(
  name: str,
  workers: Mapping[str, Worker],
  rounds: int = ROUNDS,
  seconds: float = SECONDS,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
  """Times workers that have built their tasks, and shows progress.

  Args:
    name: Name of the comparison.
    workers: By name.
    rounds: Number of measurements of each worker.
    seconds: Least duration of each.

  Returns:
    By round, and the first two by worker: steps a second, seconds of CPU a
    step, and the operations a second of a matrix product.
  """
  steps = {key: _calibrate(worker, seconds) for key, worker in workers.items()}
  speeds, cpu = ({key: [] for key in workers} for _ in range(2))
  sgemm = []
  for number in tqdm.trange(rounds, desc=name, unit=" rounds"):
    # In alternating order, so that a drift of the machine favours no worker.
    for key in list(workers)[:: 1 if number % 2 else -1]:
      taken = workers[key].do("run", steps=steps[key])
      speeds[key].append(steps[key] / taken["seconds"])
      cpu[key].append(taken["cpu_seconds"] / steps[key])
    sgemm.append(
      max(worker.do("sgemm")["flops_per_second"] for worker in workers.values())
    )
  speeds, cpu = (
    {key: np.array(values) for key, values in measured.items()}
    for measured in (speeds, cpu)
  )
  return speeds, cpu, np.array(sgemm)


def row(name: str, unit: str, rates: Mapping[str, Sequence[float]]) -> dict:
  """Returns a comparison; ratios are taken within a round.

  Args:
    name: Name of the comparison.
    unit: Unit of the rates.
    rates: By name, a rate for each round; the first is compared with others.
  """
  ours, *peers = rates
  return {
    "name": name,
    "unit": unit,
    "rates": {key: [float(rate) for rate in rates[key]] for key in rates},
    "ratios": {
      peer: spread(np.array(rates[ours]) / np.array(rates[peer]))
      for peer in peers
    },
  }


def spread(values: Sequence[float]) -> dict[str, float]:
  """Returns the median, minimum and maximum."""
  return {
    "median": float(np.median(values)),
    "min": float(np.min(values)),
    "max": float(np.max(values)),
  }


def machine() -> dict:
  """Describes the machine and its load; takes two seconds."""
  busy = psutil.cpu_percent(2.0) / 100.0 * (os.cpu_count() or 1)
  return {
    "processor": provenance.processor(),
    "cores": os.cpu_count(),
    "cores_busy_before": round(busy, 2),
  }


def report(
  name: str, rows: Sequence[Mapping], machine: Mapping, picture=None, **more
) -> None:
  """Prints comparisons and writes <name>.json and <name>.png to --out_dir.

  Args:
    name: Name of the benchmark.
    rows: Results of `compare` or `row`.
    machine: Result of `machine` before the measurements.
    picture: A picture; by default bars of the comparisons.
    **more: Further JSON values for the file.
  """
  print(f"\n{name} on {machine}")
  for one in rows:
    print(f"\n{one['name']}")
    for key, rates in one["rates"].items():
      said = f"  {key:16}{np.median(rates):10.4g} {one['unit']}"
      if key in one.get("sgemm_shares", ()):
        said += f"  {one['sgemm_shares'][key]['median']:.0%} of sgemm"
      if ratio := one["ratios"].get(key):
        said += "  ours is {median:.2f} ({min:.2f} to {max:.2f})".format(
          **ratio
        )
      print(said)
  folder = ROOT / _OUT_DIR.value
  folder.mkdir(parents=True, exist_ok=True)
  results = {"name": name, "machine": machine, "comparisons": rows, **more}
  files.write_json(str(folder / f"{name}.json"), results)
  plotting.save(picture or _bars(rows), folder / f"{name}.png")
  print(f"Written: {folder / name}.json and .png")


def _bars(rows):
  """Draws rates, as multiples of the first peer's if there is one."""
  chart, axes = plotting.panels(1)
  axis = np.ravel(axes)[0]
  keys = list(dict.fromkeys(key for row in rows for key in row["rates"]))
  for number, (key, style) in enumerate(zip(keys, plotting.styles())):
    places, heights, errors = [], [], []
    for place, one in enumerate(rows):
      if key in one["rates"]:
        peer = next(iter(one["ratios"]), None)
        rates = np.array(one["rates"][key])
        rates = rates / np.array(one["rates"][peer]) if peer else rates
        middle = np.median(rates)
        places.append(place + number * 0.8 / len(keys))
        heights.append(middle)
        errors.append((middle - rates.min(), rates.max() - middle))
    axis.bar(
      places,
      heights,
      0.8 / len(keys),
      yerr=np.transpose(errors),
      color=style["color"],
      label=key,
      capsize=3,
    )
  axis.set_xticks(range(len(rows)), [one["name"] for one in rows])
  axis.set_ylabel("rate, as a multiple of the first peer's if there is one")
  axis.legend()
  return plotting.drawn(chart)


def _check_same(name, built):
  """Raises unless all workers have the same network size and the same loss."""
  (ours, first), *peers = built.items()
  for key, peer in peers:
    for what in ("parameters", "items", "loss"):
      if not math.isclose(peer[what], first[what], rel_tol=_TOLERANCE):
        raise ValueError(
          f"{name}: {key} has {what} {peer[what]}, and {ours} {first[what]}: "
          "they do not do the same."
        )


def _calibrate(worker, seconds):
  """Returns the number of steps that take `seconds`; the first ones compile."""
  worker.do("run", steps=1)
  steps = 1
  while True:
    taken = worker.do("run", steps=steps)["seconds"]
    if taken >= seconds / 2:
      return max(math.ceil(steps * seconds / taken), 1)
    steps *= 2


def run(benchmark) -> None:
  """Runs a benchmark as a program that takes flags and no other arguments."""

  def main(arguments):
    if len(arguments) > 1:
      raise app.UsageError(f"Not a flag: {' '.join(arguments[1:])}")
    logging.set_verbosity(logging.ERROR)
    benchmark()

  app.run(main)
