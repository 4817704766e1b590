"""Controls a face generator that other people trained: `make demo-photo`.

Learns critics of attributes, realism and identity from the shipped tables of
seeds and labels, and an actor, which samples four requests and edits twelve
people; scores them with judges that gave no labels; exports, serves, sends one
request; writes a page, runs/photo/report/index.html. Learning and export are
done once.
"""

import argparse
import contextlib
import os
import pathlib
import sys
import time

import jinja2
import numpy as np
import pandas as pd

import lc_keras
from lc_keras import files
from lc_keras import plotting
from lc_keras.evaluation import report
from lc_keras.photo_faces import learning
from lc_keras.photo_faces import networks
from lc_keras.photo_faces import scores
from tools import studio
from trainers import commands
from trainers import local_server
from trainers import preemption

SAMPLES = (
  {"Smiling": 1, "Male": 0, "Eyeglasses": 1},
  {"Male": 1, "Smiling": 0, "Young": 0, "Eyeglasses": 0},
  {"Young": 1, "Male": 0, "Wearing_Hat": 1},
  {"Male": 1, "Young": 1, "Eyeglasses": 1, "Smiling": 1},
)
EDITS = (
  ("Smiling", 1),
  ("Smiling", 0),
  ("Male", 1),
  ("Male", 0),
  ("Young", 1),
  ("Young", 0),
  ("Eyeglasses", 1),
  ("Wearing_Hat", 1),
)
_COUNT, _PEOPLE = 16, 12
_FULL_SIZE = ("Smiling", 1)  # The edit that is shown at 1024 pixels.
TRUNCATION = 0.8
# First seed of the people that are edited; no model was trained on them.
FIRST_SEED = 100_000
_CAPTIONS = {
  "samples": "Samples, a request every row",
  "edits": "People as drawn, and edited",
  "full_size": "One of them in full size, 1024 pixels",
}
_TEMPLATES = pathlib.Path(__file__).parent / "templates"


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--run_dir", default="runs/photo", help="A folder.")
  parser.add_argument("--data_dir", default="data", help="Of the packages.")
  settings = parser.parse_args()
  try:
    with preemption.raising():
      demo = Demo(settings.run_dir, settings.data_dir)
      control = demo.learned()
      demo.show_samples(control)
      demo.show_edits(control)
      demo.serve(control)
      demo.write_page()
  except (OSError, ValueError) as error:
    sys.exit(f"error: {error}")


class Demo:
  """The stages of the demo, and their results."""

  def __init__(self, run_dir, data_dir):
    self._run_dir = run_dir
    self._data_dir = data_dir
    self._judges = scores.Judges(data_dir)
    self._seconds, self._tables, self._pictures = {}, {}, {}
    self._report = os.path.join(run_dir, "report")

  def learned(self) -> lc_keras.LatentConstraints:
    """Returns the generator with its critics; learns them if needed."""
    if os.path.exists(self._run_dir):
      return lc_keras.load(self._run_dir)
    with self._stage("generator"):
      generator = networks.generator(data_dir=self._data_dir)
    with self._stage("learning"):
      control = learning.learn(generator)
      generator.mapping.truncation = TRUNCATION
      control.save(self._run_dir)
    return control

  def show_samples(self, control):
    """Samples four requests, and scores the images."""
    with self._stage("samples"):
      made = [control.sample(text(one), _COUNT) for one in SAMPLES]
    with self._stage("scores"):
      found = {
        text(request): scores.sample(self._judges(one.images), request)
        for request, one in zip(SAMPLES, made)
      }
    self._tables["Samples"] = pd.DataFrame(found).T
    self._picture(
      "samples",
      np.stack([one.images for one in made]),
      row_labels=[text(one).replace(", ", "\n") for one in SAMPLES],
    )

  def show_edits(self, control):
    """Edits people in all directions and scores the edits; one in full size."""
    seeds = range(FIRST_SEED, FIRST_SEED + _PEOPLE)
    latents = control.generator.draw(np.array(seeds)).numpy()
    before = control.decode(latents)
    read, columns, found = self._judges(before), [before], {}
    for name, value in EDITS:
      with self._stage("edits"):
        edited = control.transform(latents, text({name: value}))
      with self._stage("scores"):
        after = self._judges(edited.images)
      found[text({name: value})] = scores.edit(read, after, name, value)
      columns.append(edited.images)
      if (name, value) == _FULL_SIZE:
        with self._stage("full size"):
          # A person without the requested value.
          row = int(np.argmin(read.attributes["labels"][name] == bool(value)))
          both = np.stack([latents[row], edited.latents[row]])
          full = networks.full_size(control.generator, both, self._data_dir)
          self._picture(
            "full_size", full[np.newaxis], column_labels=["as drawn", name]
          )
    self._tables["Edits"] = pd.DataFrame(found).T
    agreed = pd.DataFrame({"agreement": scores.agreement(read)}).T
    self._tables["How often the judges agree on unedited faces"] = agreed
    labels = ["as drawn", *(text({name: value}) for name, value in EDITS)]
    self._picture("edits", np.stack(columns, axis=1), column_labels=labels)

  def serve(self, control):
    """Exports, serves and sends one request."""
    export = os.path.join(self._run_dir, "export")
    asked = commands.Commands(self._run_dir, self._data_dir, "")
    if not os.path.exists(os.path.join(export, "1")):
      # --nocheck: the server that loads the export next checks it.
      with self._stage("export"):
        asked.run(
          "export",
          *("-m", "serving.export", f"--run_dir={self._run_dir}"),
          *("--samplers=search", "--nocheck"),
        )
    full = os.path.join(self._run_dir, studio.FULL_SIZE, "1")
    if not os.path.exists(full):
      with self._stage("export"):
        networks.save_full_size(control.generator, full, self._data_dir)
    path = os.path.join(self._report, "served.png")
    base_path = f"--model_base_path={os.path.abspath(export)}"
    with self._stage("serve"), local_server.serving(base_path) as address:
      asked.run(
        "ask",
        *("-m", "serving.client", "sample", f"--server={address}"),
        *(f"--timeout={local_server.PATIENCE}", f"--out={path}"),
        *(f"--want={text(SAMPLES[0])}", "--n=4"),
      )
    self._pictures["served.png"] = f"Served: {text(SAMPLES[0])}"

  def write_page(self):
    """Writes results.json and index.html."""
    results = {name: one.to_dict("index") for name, one in self._tables.items()}
    results["seconds"] = self._seconds
    files.write_json(
      os.path.join(self._report, "results.json"), report.plain(results)
    )
    environment = jinja2.Environment(
      loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True
    )
    page = environment.get_template("photo.html.jinja").render(
      tables={name: html(one) for name, one in self._tables.items()},
      pictures=self._pictures,
      seconds=self._seconds,
    )
    path = os.path.join(self._report, "index.html")
    with files.replacing(path) as aside:
      pathlib.Path(aside).write_text(page, encoding="utf-8")
    total = sum(self._seconds.values())
    print(f"{total:.0f} seconds in all. The page: {path}")

  @contextlib.contextmanager
  def _stage(self, name):
    """Prints the name of a stage, and adds up its seconds."""
    started = time.monotonic()
    print(f"=== {name}", flush=True)
    yield
    spent = time.monotonic() - started
    self._seconds[name] = self._seconds.get(name, 0.0) + spent

  def _picture(self, name, images, **labels):
    """Writes rows of images as a JPEG file."""
    os.makedirs(self._report, exist_ok=True)
    with files.replacing(os.path.join(self._report, f"{name}.jpg")) as aside:
      plotting.grid(images, **labels).save(aside, quality=90)
    self._pictures[f"{name}.jpg"] = _CAPTIONS[name]


def text(request) -> str:
  """Returns the text of a request."""
  return ", ".join(
    name if value else f"not {name}" for name, value in request.items()
  )


def html(frame):
  return frame.to_html(border=0, float_format="%.2f", na_rep="")


if __name__ == "__main__":
  main()
