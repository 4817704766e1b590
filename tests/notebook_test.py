"""Runs docs/control.ipynb from its first cell to its last, on a tiny run."""

import os
import pathlib

import nbformat
from absl.testing import absltest
from nbclient import client

import lc_keras
from tests import faces_run

_ROOT = pathlib.Path(__file__).parents[1]
_QUICK = "{'width': 8, 'depth': 1, 'folds': 2, 'steps': 20, 'rounds': 2}"
_FIT = "{'epochs': 1, 'steps_per_epoch': 2, 'verbose': 0}"


class NotebookTest(absltest.TestCase):
  def test_every_cell_runs_and_shows_what_it_makes(self):
    folder = self.create_tempdir().full_path
    places = [os.path.join(folder, name) for name in ("run", "data")]
    faces_run.write(*places)
    notebook = nbformat.read(_ROOT / "docs" / "control.ipynb", as_version=4)
    nbformat.validate(notebook)
    (given,) = [
      cell
      for cell in notebook.cells
      if "parameters" in cell.metadata.get("tags", ())
    ]
    given.source = (
      f"run_dir, data_dir = {places}\nquick = {_QUICK}\nfit_options = {_FIT}"
    )
    runner = client.NotebookClient(
      notebook,
      timeout=300,
      resources={"metadata": {"path": str(_ROOT / "docs")}},
    )
    runner.execute()
    outputs = [
      output.data
      for cell in notebook.cells
      for output in cell.get("outputs", ())
      if output.output_type in ("execute_result", "display_data")
    ]
    self.assertLen([data for data in outputs if "image/png" in data], 7)
    told = [data["text/plain"] for data in outputs]
    self.assertIn("('Much_Dark', 'Pale_Skin')", told)
    loaded = lc_keras.load(places[0])
    self.assertIn("Much_Dark", loaded.attributes.names)
