"""How fast it samples under a request: python -m benchmarks.sampling.

From the prior to pixels, 64 images of the demo's network at once: by the actor,
and by the flow with guidance; the same in PyTorch.
"""

from absl import app
from absl import flags

from benchmarks import figures
from benchmarks import outcomes
from benchmarks import pairs

_CASE = {
  "image_shape": (64, 64, 3),
  "architecture": "toon_faces",
  "latent_size": 256,
  "batch": 64,
  "width": 512,
}
_CASES = {
  "actor, 64 images": {**_CASE, "sampler": "actor", "depth": 4},
  "flow, 64 images": {**_CASE, "sampler": "flow", "depth": 3},
}
_OUT_DIR = flags.DEFINE_string("out_dir", outcomes.FOLDER, "Where to.")


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  machine = figures.machine()
  rows = [
    pairs.against_torch(
      name, case, "benchmarks.sampling_tasks", "benchmarks.peers_torch.sampling"
    )
    for name, case in _CASES.items()
  ]
  outcomes.report("sampling", rows, machine=machine, folder=_OUT_DIR.value)


if __name__ == "__main__":
  app.run(_run)
