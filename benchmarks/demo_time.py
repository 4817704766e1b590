"""How long the demo takes: python -m benchmarks.demo_time --run_dir=runs/demo.

Reads what `make demo` has noted of its programs; runs nothing itself.
"""

import json
import os

from absl import app
from absl import flags
from matplotlib import figure

from benchmarks import figures
from benchmarks import outcomes
from lc_keras import plotting

_MOST = 15 * 60.0
_RUN_DIR = flags.DEFINE_string("run_dir", "runs/demo", "Run of `make demo`.")
_OUT_DIR = flags.DEFINE_string("out_dir", outcomes.FOLDER, "Where to.")


def _draw(seconds):
  """Draws how long each program took, in their order."""
  chart = figure.Figure(figsize=(9, 4.5), dpi=100, layout="constrained")
  axis = chart.subplots()
  names = list(seconds)
  bars = axis.barh(names, [seconds[name] for name in names], color="#0072B2")
  axis.bar_label(bars, fmt="{:.0f}", padding=3)
  axis.invert_yaxis()
  axis.set(
    xlabel="seconds, start of the program included",
    title=f"make demo: {sum(seconds.values()):.0f} seconds",
  )
  return plotting.drawn(chart)


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  path = os.path.join(_RUN_DIR.value, "seconds.json")
  if not os.path.exists(path):
    # Not an error: on a fresh clone the other benchmarks are all there is.
    print(f"Nothing to read: {path} is not there. Run `make demo` first.")
    return
  with open(path, encoding="utf-8") as file:
    seconds = json.load(file)
  total = sum(seconds.values())
  row = figures.alone("make demo", "s", [total])
  target = figures.target(
    "make demo, seconds", f"<= {_MOST:g}", total, total <= _MOST
  )
  outcomes.report(
    "demo_time",
    [row],
    [target],
    figures.machine(),
    folder=_OUT_DIR.value,
    picture=_draw(seconds),
    seconds=seconds,
  )


if __name__ == "__main__":
  app.run(_run)
