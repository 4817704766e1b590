"""How fast it is in latent space: python -m benchmarks.latent_space.

The critic's updates with gradient penalty and the actor's, and the search, as
published; the same in PyTorch, written as one would.
"""

from absl import app
from absl import flags

from benchmarks import figures
from benchmarks import outcomes
from benchmarks import pairs

_CYCLE = {"work": "cycle", "batch": 128, "critic_steps": 10}
CASES = {
  "cycle, 256/512": {**_CYCLE, "latent_size": 256, "width": 512},
  "cycle, 1024/2048": {
    **_CYCLE,
    "latent_size": 1024,
    "width": 2048,
    "critic_steps": 2,
  },
  "search, 64 rows": {
    "work": "search",
    "latent_size": 256,
    "width": 512,
    "batch": 64,
    "steps": 300,
  },
}
_UNITS = {"cycle": "critic steps/s", "search": "rows/s"}
_MOST_SECONDS = 3.0
_ONLY = flags.DEFINE_list("only", None, "Which cases, by their numbers from 0.")
_ROUNDS = flags.DEFINE_integer("rounds", pairs.ROUNDS, "Rounds of each.")
_OUT_DIR = flags.DEFINE_string("out_dir", outcomes.FOLDER, "Where to.")


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  machine = figures.machine()
  names = list(CASES)
  if _ONLY.value:
    names = [names[int(number)] for number in _ONLY.value]
  rows, targets = [], []
  for name in names:
    case = CASES[name]
    unit = _UNITS[case["work"]]
    row = pairs.against_torch(
      name,
      case,
      "benchmarks.latent_tasks",
      "benchmarks.peers_torch.latent",
      unit,
      rounds=_ROUNDS.value,
    )
    rows.append(row)
    if case["work"] == "search":
      seconds = case["batch"] / row["ours"]
      targets.append(
        figures.target(
          f"{name}: seconds of {case['steps']} steps",
          f"<= {_MOST_SECONDS:g}",
          seconds,
          seconds <= _MOST_SECONDS,
        )
      )
  targets += outcomes.ratio_targets(rows, {"torch eager": 1.25})
  outcomes.report("latent_space", rows, targets, machine, folder=_OUT_DIR.value)


if __name__ == "__main__":
  app.run(_run)
