"""Compares who does the same work faster: checked first, then timed in turn."""

import contextlib
import math
import tempfile
from collections.abc import Callable, Mapping

import numpy as np
import tqdm

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
  built = build(case, workers)
  _check_same(name, built)
  sgemm = []

  def multiply():
    sgemm.append(
      max(worker.do("sgemm")["flops_per_second"] for worker in workers.values())
    )

  speeds, cpu = in_turn(name, workers, rounds, seconds, after=multiply)
  peaks = {key: worker.do("peak")["bytes"] for key, worker in workers.items()}
  return {
    **_summary(name, unit, built, speeds, np.array(sgemm)),
    "cpu_ms_per_step": {
      key: figures.spread(1e3 * values) for key, values in cpu.items()
    },
    "peak_bytes": peaks,
  }


def against_torch(
  name: str,
  case: Mapping,
  ours: str,
  theirs: str,
  unit: str = "images/s",
  **options,
) -> dict:
  """Compares with PyTorch as it comes and with torch.compile; see `compare`.

  Args:
    name: What is compared.
    case: What each is to build.
    ours: Our program, a module.
    theirs: Theirs, which takes --compile.
    unit: Of `items` in a second.
    **options: For `compare`.
  """
  with contextlib.ExitStack() as stack:
    workers = {
      key: stack.enter_context(workers_lib.Worker(*command))
      for key, command in {
        "ours": (workers_lib.OURS, ours),
        "torch eager": (workers_lib.TORCH, theirs),
        "torch.compile": (workers_lib.TORCH, theirs, "--compile"),
      }.items()
    }
    return compare(name, case, workers, unit, **options)


def build(
  case: Mapping, workers: Mapping[str, workers_lib.Worker]
) -> dict[str, dict]:
  """Has workers build the same, in order, and returns what they say of it."""
  with tempfile.TemporaryDirectory() as folder:
    return {
      key: worker.do("build", case=case, folder=folder)
      for key, worker in workers.items()
    }


def in_turn(
  name: str,
  workers: Mapping[str, workers_lib.Worker],
  rounds: int = ROUNDS,
  seconds: float = SECONDS,
  after: Callable[[], None] = lambda: None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  """Times workers that have built something, and shows how far it is.

  Args:
    name: What is shown.
    workers: By name.
    rounds: How often everyone is timed.
    seconds: How long, at least, each time.
    after: Called after each round.

  Returns:
    Of each worker in each round: steps a second, and the processor's seconds
    per step, which say more where others use the machine.
  """
  steps = {key: _calibrate(worker, seconds) for key, worker in workers.items()}
  speeds, cpu = ({key: [] for key in workers} for _ in range(2))
  for number in tqdm.trange(rounds, desc=name, unit=" rounds"):
    # Forwards and backwards: whatever drifts, drifts for all.
    for key in list(workers)[:: 1 if number % 2 else -1]:
      taken = workers[key].do("run", steps=steps[key])
      speeds[key].append(steps[key] / taken["seconds"])
      cpu[key].append(taken["cpu_seconds"] / steps[key])
    after()
  return tuple(
    {key: np.array(values) for key, values in measured.items()}
    for measured in (speeds, cpu)
  )


def _summary(name, unit, built, speeds, sgemm):
  ours, *others = speeds
  items, flops = built[ours]["items"], built[ours]["flops"]
  rates = {key: items * values for key, values in speeds.items()}
  compared = {
    key: figures.comparison(f"{name} : {key}", unit, rates[ours], rates[key])
    for key in others
  }
  shares = {}
  if flops:
    shares = {
      key: figures.spread(flops * values / sgemm)
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
