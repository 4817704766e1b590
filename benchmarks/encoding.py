"""How fast images are encoded: python -m benchmarks.encoding.

`latents.encode`, the pass that writes the cache, and the same in PyTorch.
"""

from absl import app
from absl import flags

from benchmarks import cases
from benchmarks import figures
from benchmarks import outcomes
from benchmarks import pairs

_NAMES = ("medium", "small", "the demo's")
_BATCH = 256  # As trainers.latents has it.
_OUT_DIR = flags.DEFINE_string("out_dir", outcomes.FOLDER, "Where to.")


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  machine = figures.machine()
  rows = []
  for name in _NAMES:
    case = {**cases.step(name), "work": "encoding", "batch": _BATCH}
    rows.append(
      pairs.against_torch(
        name, case, "benchmarks.vae_tasks", "benchmarks.peers_torch.vae"
      )
    )
  targets = outcomes.ratio_targets(rows, {"torch eager": 1.25})
  outcomes.report("encoding", rows, targets, machine, folder=_OUT_DIR.value)


if __name__ == "__main__":
  app.run(_run)
