"""Measures edits of many people: `python -m tools.photo_figures`.

Of every direction of the demo and of several samplers, beside each other, on
people that nothing was learned from; into docs/results/photo.json. Takes half
an hour on two cores. What is measured is not measured again.
"""

import argparse
import os

import numpy as np
import pandas as pd

import lc_keras
from lc_keras import files
from lc_keras.evaluation import fidelity
from lc_keras.evaluation import report
from lc_keras.models import linear_directions
from lc_keras.photo_faces import scores
from tools import photo_demo

# By title: the sampler, and how much it keeps who is shown.
METHODS = {
  "search": ("search", photo_demo.SAME),
  "search that keeps nobody": ("search", 0.0),
  "published search": ("search_published", 0.0),
  "linear directions": ("linear", 0.0),
}


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--run_dir", default="runs/photo", help="Of the demo.")
  parser.add_argument("--data_dir", default="data", help="Of the packages.")
  parser.add_argument("--people", type=int, default=128, help="How many.")
  parser.add_argument("--out", default="docs/results/photo.json")
  settings = parser.parse_args()
  control = lc_keras.load(settings.run_dir)
  rows = control.parts.latents["train"]
  control.parts.models["linear"] = linear_directions.LinearDirections.estimate(
    rows.labelled()
  )
  judges = scores.Judges(settings.data_dir)
  first = photo_demo.FIRST_SEED
  latents = control.generator.draw(
    np.arange(first, first + settings.people)
  ).numpy()
  before = judges(control.decode(latents))
  results = {}
  if os.path.exists(settings.out):
    results = files.read_json(settings.out)
  results |= {"people": settings.people, "agreement": scores.agreement(before)}
  for title, (sampler, same) in METHODS.items():
    found = results.setdefault(title, {})
    for name, value in photo_demo.EDITS:
      direction = photo_demo.text({name: value})
      if direction in found:
        continue
      edited = control.transform(latents, direction, sampler=sampler, same=same)
      after = judges(edited.images)
      found[direction] = scores.edit(before, after, name, value) | {
        "identities' distance from those of plain samples": float(
          fidelity.frechet_distance(before.who, after.who)[0]
        )
      }
      files.write_json(settings.out, report.plain(results))
      print(title, pd.Series(found[direction]).round(2).to_dict(), flush=True)
    print(f"=== {title}")
    print(pd.DataFrame(found).T.mean().round(3).to_string(), flush=True)


if __name__ == "__main__":
  main()
