"""How fast the server is, beside what one could use instead.

  python -m benchmarks.serving

A trivial model shows what a call costs, and `sample` of the studio faces (16
rows; never trained, since that makes no difference) what is left of it beside a
model. `peers` says what we compare with. Writes serving.json and serving.png.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
from absl import app
from absl import flags
from absl import logging

from benchmarks import figures
from benchmarks import latency_chart
from benchmarks import load
from benchmarks import serving_measurements
from lc_keras import files
from lc_keras import plotting

_SAVED_MODEL = flags.DEFINE_string(
  "saved_model",
  None,
  "An export whose `sample` is asked; by default one that is made now.",
)
_OUT_DIR = flags.DEFINE_string(
  "out_dir", "benchmarks/results", "Where the results are written."
)
_ROUNDS = flags.DEFINE_integer(
  "rounds", 7, "How often everything is measured, in turn.", lower_bound=1
)
_SECONDS = flags.DEFINE_float(
  "seconds", 2.0, "How long a server is under one load.", lower_bound=0.0
)
_CALLS = flags.DEFINE_integer(
  "calls", 12, "Calls of `sample` that follow each other.", lower_bound=1
)

# What was to be reached: calls a second, p99 / p50, and served / in process.
_LEAST_RATE = 1500.0
_MOST_TAIL = 2.0
_MOST_COST = 1.1


def _clients(count):
  return "1 client" if count == 1 else f"{count} clients"


def _print_loads(loads: Mapping[str, dict]):
  """Prints summaries of loads."""
  print(f"{'':34}calls/s      p50      p90      p99   longest, ms")
  for name, one in loads.items():
    latencies = "".join(
      f"{one[key] or float('nan'):9.2f}"
      for key in ("p50_ms", "p90_ms", "p99_ms", "longest_ms")
    )
    codes = ", ".join(f"{n} {code}" for code, n in one["codes"].items())
    print(f"{name:32}{one['calls_per_second']:9.0f}{latencies}  {codes}")


def _print_comparisons(rows: Sequence[dict]):
  for row in rows:
    ratio = row["ratio"]
    print(
      f"{row['name']}: {row['ours']:.4g} against {row['peer']:.4g} "
      f"{row['unit']}; ratio {ratio['median']:.2f} "
      f"({ratio['min']:.2f} to {ratio['max']:.2f})"
    )


def _tails(loads):
  return [one.percentile(99) / one.percentile(50) for one in loads]


def _results(measured: serving_measurements.Measurements) -> dict:
  """Returns what is written down."""
  trivial, batch = measured.trivial, serving_measurements.BATCH
  rates = {key: [one.rate for one in loads] for key, loads in trivial.items()}
  sample = {
    way: [1e3 * np.median(block) for block in blocks]
    for way, blocks in measured.sample.items()
  }
  calls = [
    figures.comparison(
      f"a trivial call, {_clients(clients)}, ours : {peer}",
      "calls/s",
      rates["ours", clients],
      rates[peer, clients],
    )
    for clients in (1, 4)
    for peer in ("naive", "nothing")
  ]
  samples = {
    way: figures.comparison(
      f"sample of {batch}, {way} : in process",
      "ms",
      taken,
      sample["in process"],
    )
    for way, taken in sample.items()
    if way != "in process"
  }
  crowds = {
    f"{name}, {_clients(serving_measurements.CROWD)}": crowd
    for name, crowd in measured.crowds.items()
  }
  loads = {
    f"trivial, {name}, {_clients(clients)}": load.together(rounds)
    for (name, clients), rounds in trivial.items()
  }
  return {
    **calls[0],
    "name": "serving",
    "machine": measured.machine,
    "targets": _targets(
      np.median(rates["ours", 1]),
      np.median(_tails(trivial["ours", 4])),
      samples["ours, LatentClient"]["ratio"]["median"],
      crowds.values(),
    ),
    "comparisons": [*calls, *samples.values()],
    "p99_to_p50": {
      f"{name}, {_clients(clients)}": figures.spread(_tails(rounds))
      for (name, clients), rounds in trivial.items()
    },
    "cpu_us_a_call": {
      f"{name}, {_clients(clients)}": figures.spread(1e6 * np.array(seconds))
      for (name, clients), seconds in measured.cpu.items()
    },
    "loads": {name: one.summary() for name, one in (loads | crowds).items()},
  }


def _targets(rate, tail, cost, crowds):
  """Returns what was to be reached, and whether it was."""
  stuck = sum(
    crowd.stuck + crowd.codes.get("DEADLINE_EXCEEDED", 0) for crowd in crowds
  )
  return [
    figures.target(
      "trivial calls a second from one client",
      f">= {_LEAST_RATE:g}",
      rate,
      rate >= _LEAST_RATE,
    ),
    figures.target(
      "p99 / p50 under 4 clients",
      f"<= {_MOST_TAIL:g}",
      tail,
      tail <= _MOST_TAIL,
    ),
    figures.target(
      f"sample of {serving_measurements.BATCH}, LatentClient / in process",
      f"<= {_MOST_COST:g}",
      cost,
      cost <= _MOST_COST,
    ),
    figures.target(
      f"calls stuck under {serving_measurements.CROWD} clients",
      "0",
      stuck,
      stuck == 0,
    ),
  ]


def _draw(measured):
  return latency_chart.draw(
    {
      "A trivial model": {
        (name, _clients(clients)): load.together(rounds).latencies
        for (name, clients), rounds in measured.trivial.items()
      },
      f"sample, {serving_measurements.BATCH} rows": {
        (way, ""): np.concatenate(blocks)
        for way, blocks in measured.sample.items()
      },
    }
  )


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.ERROR)
  with tempfile.TemporaryDirectory() as folder:
    measured = serving_measurements.measure(
      folder,
      _ROUNDS.value,
      _SECONDS.value,
      _CALLS.value,
      _SAVED_MODEL.value,
    )
  results = _results(measured)
  print(f"\n{results['machine']}\n")
  _print_loads(results["loads"])
  _print_comparisons(results["comparisons"])
  for row in results["targets"]:
    said = "met" if row["met"] else "MISSED"
    print(f"{said}: {row['name']}: {row['measured']:.4g} ({row['wanted']})")
  os.makedirs(_OUT_DIR.value, exist_ok=True)
  path = os.path.join(_OUT_DIR.value, "serving")
  files.write_json(f"{path}.json", results)
  plotting.save(_draw(measured), f"{path}.png")
  print(f"Written: {path}.json, {path}.png")


if __name__ == "__main__":
  app.run(_run)
