"""Runs docs/control.ipynb from its first cell to its last, on a tiny run."""

import contextlib
import os
import pathlib

import nbformat
from absl.testing import absltest
from IPython.core import interactiveshell

import lc_keras
from tests import faces_run

_ROOT = pathlib.Path(__file__).parents[1]
_PARAMETERS = """
from lc_keras import recipes

run_dir, data_dir = {places}
quick = {{"width": 8, "depth": 1, "folds": 2, "steps": 20, "rounds": 2}}
small = {{"width": 8, "depth": 1, "steps": 2, "batch_size": 32}}
made = [recipes.Attributes(**small), recipes.Flow(**small)]
made += [recipes.Actor(**small, critic_steps=1)]
fit_options = {{"recipes": made, "verbose": 0}}
"""


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
    given.source = _PARAMETERS.format(places=places)
    # In this process: a new one would load TensorFlow again.
    shell = interactiveshell.InteractiveShell.instance()
    outputs = []
    with contextlib.chdir(_ROOT / "docs"):
      for cell in notebook.cells:
        if cell.cell_type == "code":
          ran = shell.run_cell(cell.source)
          ran.raise_error()
          if ran.result is not None:
            outputs.append(shell.display_formatter.format(ran.result)[0])
    self.assertLen([data for data in outputs if "image/png" in data], 7)
    told = [data["text/plain"] for data in outputs]
    self.assertIn("('Much_Dark', 'Pale_Skin')", told)
    loaded = lc_keras.load(places[0])
    self.assertIn("Much_Dark", loaded.attributes.names)
