"""Measures edits and samples of many people: `python -m tools.photo_figures`.

Every edit of the demo, by several samplers and after several trainings, on
people that no model was trained on; samples of its requests, beside draws with
the same attributes; and four edits in sequence, then undone. Writes
docs/results/photo.json, in an hour on two cores. Figures in that file are not
measured again.
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
from lc_keras.photo_faces import face_api
from lc_keras.photo_faces import learning
from lc_keras.photo_faces import networks
from lc_keras.photo_faces import scores
from tools import photo_demo

# Weight of the identity in a search that preserves it.
_SAME = 1.5
# By title: the sampler, the weight of the person's identity (`same`), and the
# seed of the training. The first is measured on all people, others on half.
METHODS = {
  "search": ("search", _SAME, 0),
  # Trained with a weight of its own, see `learning.learn`.
  "actor": ("search_actor", 0.0, 0),
  "search that keeps nobody": ("search", 0.0, 0),
  "published search": ("search_published", 0.0, 0),
  "linear directions": ("linear", 0.0, 0),
  "search, second training": ("search", _SAME, 1),
  "search, third training": ("search", _SAME, 2),
  "actor, second training": ("search_actor", 0.0, 1),
  "actor, third training": ("search_actor", 0.0, 2),
}
_SAMPLES = 64
# Edits in sequence; then they are undone, the last one first.
_DRIFT = ("Smiling", "Eyeglasses", "Young", "Wearing_Hat")
_DRAWS = 3000  # Draws from which those with a request's attributes are taken.


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--run_dir", default="runs/photo", help="Of the demo.")
  parser.add_argument("--data_dir", default="data", help="Of the packages.")
  parser.add_argument("--people", type=int, default=128, help="How many.")
  parser.add_argument("--out", default="docs/results/photo.json")
  settings = parser.parse_args()
  Figures(**vars(settings)).measure()


class Figures:
  """The figures, and the file that they are kept in."""

  def __init__(self, run_dir, data_dir, people, out):
    self._run_dir, self._data_dir, self._out = run_dir, data_dir, out
    self._judges = scores.Judges(data_dir)
    self._controls = {}
    self._results = files.read_json(out) if os.path.exists(out) else {}
    if self._results.setdefault("people", people) != people:
      raise ValueError(
        f"{out} is of {self._results['people']} people: give --people so, or "
        "another --out."
      )
    generator = self._control(0).generator
    first = photo_demo.FIRST_SEED
    self._latents = generator.draw(range(first, first + people)).numpy()
    self._before = self._judges(generator.map(self._latents))
    self._results["agreement"] = scores.agreement(self._before)

  def measure(self):
    """Measures the figures that the file lacks."""
    if "mirrored" not in self._results:
      self._results["mirrored"] = self._mirrored()
      self._keep("mirrored", self._results["mirrored"])
    found = self._results.setdefault("samples", {})
    for request in photo_demo.SAMPLES:
      wanted = photo_demo.text(request)
      if wanted not in found:
        found[wanted] = self._samples(request)
        self._keep(wanted, found[wanted])
    found = self._results.setdefault("drift", {})
    for title in ("search", "actor"):
      if title not in found:
        found[title] = self._drift(*METHODS[title])
        self._keep(f"drift, {title}", found[title])
    for title, method in METHODS.items():
      found = self._results.setdefault(title, {})
      count = len(self._latents) // (1 if title == "search" else 2)
      for name, value in photo_demo.EDITS:
        direction = photo_demo.text({name: value})
        if direction not in found:
          found[direction] = self._edits(name, value, count, *method)
          self._keep(f"{title}, {direction}", found[direction])
      means = pd.DataFrame(found).T.mean()
      print(f"=== {title}\n{means.round(3).to_string()}", flush=True)

  def _control(self, seed):
    """Returns the control that was trained with a seed; trains it if needed."""
    if seed not in self._controls:
      path = f"{self._run_dir}_{seed}" if seed else self._run_dir
      if not os.path.exists(path):
        control = learning.learn(
          networks.generator(data_dir=self._data_dir), seed=seed
        )
        control.generator.mapping.truncation = photo_demo.TRUNCATION
        control.save(path)
      control = lc_keras.load(path)
      rows = control.parts.latents["train"].labelled()
      control.parts.models["linear"] = (
        linear_directions.LinearDirections.estimate(rows)
      )
      self._controls[seed] = control
    return self._controls[seed]

  def _edits(self, name, value, count, sampler, same, seed):
    before = self._before.narrowed(count)
    edited = self._control(seed).transform(
      self._latents[:count],
      photo_demo.text({name: value}),
      sampler=sampler,
      same=same,
    )
    after = self._judges(edited.images)
    # Of equally many by every method: these figures depend on the number.
    half = len(self._latents) // 2
    return scores.edit(before, after, name, value) | {
      f"identities, {key}": figure
      for key, figure in fidelity.fidelity(
        before.identity[:half], after.identity[:half], resamples=0
      ).items()
      if key in ("fid", "precision", "recall")
    }

  def _mirrored(self):
    """Returns the figures of an edit that changes no attribute, and no person.

    They are means over the edits' directions: a limit of the judges.
    """
    images = self._control(0).decode(self._latents)
    after = self._judges(images[:, :, ::-1])
    edits = [
      scores.edit(self._before, after, *edit) for edit in photo_demo.EDITS
    ]
    found = pd.DataFrame(edits).mean()
    return found.drop([f"read, {judge}" for judge in scores.JUDGES]).to_dict()

  def _samples(self, request):
    """Returns figures of samples, and the spread of draws like them."""
    control = self._control(0)
    made = control.sample(photo_demo.text(request), _SAMPLES)
    latents = control.generator.draw(range(_DRAWS)).numpy()
    names = list(control.attributes.names)
    columns = [names.index(name) for name in request]
    read = control.parts.models["attributes"](latents).numpy()[:, columns] > 0.0
    kind = (read == np.array([*request.values()], bool)).all(axis=1)
    drawn = self._judges(control.decode(latents[kind][:_SAMPLES]))
    return scores.sample(self._judges(made.images), request) | {
      "apart, draws": scores.sample(drawn, request)["apart"]
    }

  def _drift(self, sampler, same, seed):
    """Returns the identity distance of people after edits that are undone."""
    control, half = self._control(seed), len(self._latents) // 2
    latents, before = self._latents[:half], self._before.narrowed(half)
    columns = [list(control.attributes.names).index(name) for name in _DRIFT]
    read = control.parts.models["attributes"](latents).numpy()[:, columns] > 0.0
    steps = [(column, ~read[:, column]) for column in range(len(_DRIFT))]
    steps += [
      (column, read[:, column]) for column in reversed(range(len(_DRIFT)))
    ]
    for column, values in steps:
      moved = np.empty_like(latents)
      for value in (False, True):
        rows = values == value
        if rows.any():
          request = photo_demo.text({_DRIFT[column]: value})
          moved[rows] = control.transform(
            latents[rows], request, sampler=sampler, same=same
          ).latents
      latents = moved
    after = self._judges(control.decode(latents))
    apart = np.linalg.norm(after.identity - before.identity, axis=1)
    return {
      "edits": len(steps),
      "same person": (apart < face_api.SAME_PERSON).mean(),
      "identity distance": apart.mean(),
      "read as at first": {
        judge: (now == before.attributes[judge]).to_numpy().mean()
        for judge, now in after.attributes.items()
      },
    }

  def _keep(self, title, found):
    files.write_json(self._out, report.plain(self._results))
    print(title, found, flush=True)


if __name__ == "__main__":
  main()
