"""How fast a VAE trains: python -m benchmarks.vae_step.

The step of `models.vae` as its trainer makes it, and the same step in PyTorch.
"""

from absl import app
from absl import flags

from benchmarks import figures
from benchmarks import outcomes
from benchmarks import pairs
from benchmarks import workers

_IMAGES = {"image_shape": (64, 64, 3), "work": "step"}
CASES = {
  "medium": {"architecture": "conv_medium", "latent_size": 256, "batch": 128},
  "small": {"architecture": "conv_small", "latent_size": 256, "batch": 128},
  "the demo's": {"architecture": "toon_faces", "latent_size": 256, "batch": 64},
  "CelebA's": {"architecture": "celeb_a", "latent_size": 1024, "batch": 4},
}
_ONLY = flags.DEFINE_list("only", list(CASES), "Which networks.")
_OUT_DIR = flags.DEFINE_string("out_dir", outcomes.FOLDER, "Where to.")


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  machine = figures.machine()
  rows = []
  for name in _ONLY.value:
    sides = {
      "ours": workers.Worker(workers.OURS, "benchmarks.vae_tasks"),
      **workers.peers("vae"),
    }
    try:
      rows.append(pairs.compare(name, {**_IMAGES, **CASES[name]}, sides))
    finally:
      workers.close(sides.values())
  targets = outcomes.ratio_targets(
    rows, {"torch eager": 1.25, "torch.compile": 1.0}
  )
  outcomes.report("vae_step", rows, targets, machine, folder=_OUT_DIR.value)


if __name__ == "__main__":
  app.run(_run)
