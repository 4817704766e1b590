"""How soon a program knows what it was asked: python -m benchmarks.start_up.

Every program is asked for --help, and a trainer is given a wrong flag, which
both need all flags and nothing else. What they are compared with is what a
program costs that loads its framework first: `import torch`, without a line of
its own, and `import tensorflow`, as ours did. In seconds of CPU, which do not
depend on what else the machine does.
"""

import os
import resource
import subprocess
from collections.abc import Mapping, Sequence

import numpy as np
from absl import app
from absl import flags

from benchmarks import figures
from benchmarks import outcomes
from benchmarks import workers

_ROUNDS = flags.DEFINE_integer(
  "rounds", 5, "How often everything is started, in turn.", lower_bound=1
)
_OUT_DIR = flags.DEFINE_string("out_dir", outcomes.FOLDER, "Where to.")

_MOST_SECONDS = 1.5
_PACKAGES = ("trainers", "serving")
# What stands for all of them in the comparisons.
_SHOWN = (
  "trainers.vae --help",
  "serving.server --help",
  "serving.client --help",
)
_WRONG = "trainers.vae, a wrong flag"
_NOTHING, _TENSORFLOW, _TORCH = "python", "import tensorflow", "import torch"


def _commands() -> dict[str, Sequence[str]]:
  """Returns what is started, by name."""
  python = workers.OURS
  commands = {
    _NOTHING: [python, "-c", "pass"],
    _TENSORFLOW: [python, "-c", "import lc_keras, tensorflow"],
    _WRONG: [python, "-m", "trainers.vae", "--run_dir=x", "--steps=none"],
  }
  if os.path.exists(workers.TORCH):
    commands[_TORCH] = [workers.TORCH, "-c", "import torch"]
  for package in _PACKAGES:
    for path in sorted((workers.ROOT / package).glob("*.py")):
      if '__name__ == "__main__"' in path.read_text():
        module = f"{package}.{path.stem}"
        commands[f"{module} --help"] = [python, "-m", module, "--help"]
  return commands


def _seconds(command: Sequence[str]) -> float:
  """Starts a program and returns the CPU that it took, until its end."""
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  # All end with 1 after --help, as absl has it, or after a wrong flag.
  subprocess.run(command, cwd=workers.ROOT, capture_output=True, check=False)
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _compare(name: str, taken: Mapping[str, Sequence[float]]) -> dict:
  """Returns a comparison as `pairs.compare` does: a higher rate is better."""
  peers = [peer for peer in (_TORCH, _TENSORFLOW) if peer in taken]
  rates = {
    key: (1.0 / np.array(taken[who])).tolist()
    for key, who in {"ours": name, **{peer: peer for peer in peers}}.items()
  }
  first, *others = (
    figures.comparison(
      f"{name} : {peer}", "starts/s", rates["ours"], rates[peer]
    )
    for peer in peers
  )
  return {
    **first,
    "name": name,
    "peer_name": peers[0],
    "others": others,
    "rates": rates,
  }


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  machine = figures.machine()
  commands = _commands()
  taken = {name: [] for name in commands}
  for _ in range(_ROUNDS.value):
    for name, command in commands.items():
      taken[name].append(_seconds(command))
  for name, values in taken.items():
    print(f"{name:36}{np.median(values):6.2f} s of CPU")
  ours = [
    np.median(values)
    for name, values in taken.items()
    if name not in (_NOTHING, _TENSORFLOW, _TORCH)
  ]
  outcomes.report(
    "start_up",
    [_compare(name, taken) for name in _SHOWN],
    [
      figures.target(
        f"seconds of CPU until it has answered, the slowest of {len(ours)}",
        f"< {_MOST_SECONDS:g}",
        max(ours),
        max(ours) < _MOST_SECONDS,
      )
    ],
    machine,
    folder=_OUT_DIR.value,
    cpu_seconds={
      name: figures.spread(values) for name, values in taken.items()
    },
  )


if __name__ == "__main__":
  app.run(_run)
