"""Compares who does the same work faster: checked first, then timed in turn."""

import math
import tempfile
from collections.abc import Mapping

import numpy as np

from benchmarks import figures
from benchmarks import workers as workers_lib

ROUNDS = 7
SECONDS = 1.0
# Of two losses: what the order of sums leaves between two frameworks.
_TOLERANCE = 1e-4


def compare(
  name: str,
  case: Mapping,
  workers: Mapping[str, workers_lib.Worker],
  unit: str = "images/s",
  rounds: int = ROUNDS,
  seconds: float = SECONDS,
) -> dict:
  """Has workers do the same in turn.

  Args:
    name: What is compared.
    case: What each is to build, passed on as it is.
    workers: By name; the first is ours, the second the peer that counts.
    unit: Of `items` in a second.
    rounds: How often everyone is timed.
    seconds: How long, at least, each time.

  Returns:
    {"name", "unit", "ours", "peer", "ratio", "sgemm_share", ...}, with the
    other peers under "others" and what was checked under "same".

  Raises:
    ValueError: They do not do the same.
  """
  with tempfile.TemporaryDirectory() as folder:
    built = {
      key: worker.do("build", case=case, folder=folder)
      for key, worker in workers.items()
    }
  _check_same(name, built)
  steps = {key: _calibrate(worker, seconds) for key, worker in workers.items()}
  speeds = {key: [] for key in workers}
  sgemm = []
  for number in range(rounds):
    # Forwards and backwards: whatever drifts, drifts for all.
    for key in list(workers)[:: 1 if number % 2 else -1]:
      taken = workers[key].do("run", steps=steps[key])["seconds"]
      speeds[key].append(steps[key] / taken)
    sgemm.append(
      max(worker.do("sgemm")["flops_per_second"] for worker in workers.values())
    )
  peaks = {key: worker.do("peak")["bytes"] for key, worker in workers.items()}
  return _summary(name, unit, built, speeds, np.array(sgemm), peaks)


def _summary(name, unit, built, speeds, sgemm, peaks):
  ours, *others = speeds
  items, flops = built[ours]["items"], built[ours]["flops"]
  rates = {key: items * np.array(values) for key, values in speeds.items()}
  compared = {
    key: figures.comparison(f"{name} : {key}", unit, rates[ours], rates[key])
    for key in others
  }
  shares = {}
  if flops:
    shares = {
      key: figures.spread(flops * np.array(values) / sgemm)
      for key, values in speeds.items()
    }
  first = compared[others[0]]
  return {
    **first,
    "name": name,
    "peer_name": others[0],
    "sgemm_share": shares[ours]["median"] if shares else None,
    "sgemm_shares": shares,
    "sgemm_gflops": figures.spread(sgemm / 1e9),
    "flops_per_step": flops,
    "peak_bytes": peaks,
    "others": [compared[key] for key in others[1:]],
    "rates": {key: values.tolist() for key, values in rates.items()},
    "same": built,
  }


def _check_same(name, built):
  """Raises unless all have the same network and, on equal weights, loss."""
  ours, *others = built
  for key in others:
    for what in ("parameters", "items"):
      if built[key][what] != built[ours][what]:
        raise ValueError(
          f"{name}: {key} has {what} {built[key][what]}, and {ours} "
          f"{built[ours][what]}: they do not do the same."
        )
    if not math.isclose(
      built[key]["loss"], built[ours]["loss"], rel_tol=_TOLERANCE
    ):
      raise ValueError(
        f"{name}: on equal weights the loss of {key} is {built[key]['loss']}, "
        f"and that of {ours} {built[ours]['loss']}: they do not do the same."
      )


def _calibrate(worker, seconds):
  """Returns how many steps take that long; makes the first ones, too."""
  worker.do("run", steps=1)  # Compiles.
  steps = 1
  while True:
    taken = worker.do("run", steps=steps)["seconds"]
    if taken >= seconds / 2:
      return max(math.ceil(steps * seconds / taken), 1)
    steps *= 2
