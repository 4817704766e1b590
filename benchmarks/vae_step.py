"""How fast a VAE trains: python -m benchmarks.vae_step.

The step of `models.vae` as its trainer makes it, and the same step in PyTorch.
"""

from absl import app
from absl import flags

from benchmarks import cases
from benchmarks import figures
from benchmarks import outcomes
from benchmarks import pairs

_OUT_DIR = flags.DEFINE_string("out_dir", outcomes.FOLDER, "Where to.")
_ONLY = flags.DEFINE_list("only", list(cases.NAMES), "Which networks.")
_LEAST = {"torch eager": 1.25, "torch.compile": 1.0}
# Of the speed of a matrix product; networks that are smaller do not reach it.
_SHARE = 0.8


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  machine = figures.machine()
  rows = [
    pairs.against_torch(
      name,
      cases.step(name),
      "benchmarks.vae_tasks",
      "benchmarks.peers_torch.vae",
    )
    for name in _ONLY.value
  ]
  targets = outcomes.ratio_targets(rows, _LEAST)
  targets += [
    figures.target(
      f"{row['name']}, share of sgemm",
      f">= {_SHARE:g}",
      row["sgemm_share"],
      row["sgemm_share"] >= _SHARE,
    )
    for row in rows
    if row["name"] != "small"
  ]
  outcomes.report("vae_step", rows, targets, machine, folder=_OUT_DIR.value)


if __name__ == "__main__":
  app.run(_run)
