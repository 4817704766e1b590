"""Every benchmark, one after the other: make bench.

    python -m benchmarks.all --only=vae_step

Each is a program, so that none finds what another has left in memory. Without
--only, `serving` is left out: it has a target of its own, make bench-serving.
"""

import json
import os
import subprocess
import sys
import time

from absl import app
from absl import flags

from benchmarks import outcomes
from benchmarks import results_table

NAMES = (
  "vae_step",
  "encoding",
  "latent_space",
  "sampling",
  "scaling",
  "input_pipeline",
  "pass_end",
  "generation",
  "start_up",
  "demo_time",
)
_ONLY = flags.DEFINE_list("only", list(NAMES), "Which benchmarks.")
_OUT_DIR = flags.DEFINE_string(
  "out_dir", outcomes.FOLDER, "Where the results are written."
)


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  for name in _ONLY.value:
    if name not in NAMES:
      raise app.UsageError(f"No benchmark {name}; known: {', '.join(NAMES)}.")
  failed = []
  for name in _ONLY.value:
    started = time.monotonic()
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    command += [f"--out_dir={_OUT_DIR.value}"]
    if subprocess.run(command, check=False).returncode:
      failed.append(name)
    print(f"{name}: {time.monotonic() - started:.0f} seconds", flush=True)
  print()
  for name in _ONLY.value:
    path = os.path.join(_OUT_DIR.value, f"{name}.json")
    if name not in failed and os.path.exists(path):
      _print_summary(path)
  if _OUT_DIR.value == outcomes.FOLDER:
    results_table.update()
  if failed:
    sys.exit(f"Failed: {', '.join(failed)}. Their messages are above.")


def _print_summary(path):
  """Prints a line per comparison and target of a benchmark."""
  with open(path, encoding="utf-8") as file:
    results = json.load(file)
  for row in results["comparisons"]:
    said = f"{results['name']}: {row['name']}: {row['ours']:.4g} {row['unit']}"
    if ratio := row["ratio"]:
      said += (
        f", ratio {ratio['median']:.2f}"
        f" ({ratio['min']:.2f} to {ratio['max']:.2f})"
      )
    print(said)
  for row in results["targets"]:
    if not row["met"]:
      print(f"  MISSED: {row['name']}: {row['measured']:.4g}, {row['wanted']}")


if __name__ == "__main__":
  app.run(_run)
