"""Steps of the demo; each adds its result to the page."""

import os
import time

import numpy as np

import lc_keras
from lc_keras import files
from lc_keras import plotting
from lc_keras import preset
from lc_keras.data import tables
from lc_keras.evaluation import album
from serving import export
from serving import latent_client
from serving import pictures
from serving import versions_folder
from trainers import local_server
from trainers import runs

_SHOWN = 8
_SAMPLES = 16
_EXPORT = "export"


class Demo:
  """The demo of a run folder, one step after the other."""

  def __init__(self, settings, folder: str, say):
    """Loads the generator; the page goes to the folder, messages to `say`."""
    self._settings = settings
    self._say = say
    # Without constraints that an earlier demo has learned.
    self._control = lc_keras.load(settings.run_dir, constraints=[])
    self._run = runs.Run(settings.run_dir)
    self._album = album.Album(
      folder,
      "Latent constraints in minutes",
      f"The generator, {self._run.preset or settings.run_dir}, was trained "
      "before and stays as it is. Everything below was made on this machine.",
    )
    self._rows = []

  @property
  def _joined(self):
    names = (self._settings.rule_name, self._settings.label_name)
    return ", ".join([self._settings.want, *names])

  def sample(self) -> None:
    """Samples images for the first request."""
    want = self._settings.want
    images = self._control.sample(want, _SAMPLES)
    self._count(want, images)
    self._add(
      f"Images of “{want}”",
      "An actor, a network, moves draws of the prior.",
      images.picture(),
      f'control = lc_keras.load("{self._run.preset or self._run.folder}")\n'
      f'control.sample("{want}", n={_SAMPLES})',
    )

  def edit(self) -> None:
    """Edits held-out images: one request per row."""
    changes = self._settings.changes
    held_out = self._run.held_out(_SHOWN)
    rows = [held_out]
    for change in changes:
      made = self._control.transform(held_out, change)
      self._count(change, made)
      rows.append(made.images)
    self._add(
      "Held-out images, changed",
      "The generator has never seen them. Each row asks for one thing, and "
      "everything else should stay.",
      self._grid(rows, ["given", *changes]),
      f'control.transform(images, "{changes[0]}")',
    )

  def learn_from_a_rule(self) -> None:
    """Learns a constraint from a function of images."""
    name, rule = self._settings.rule_name, self._settings.rule
    how = {"rule": rule, "threshold": self._settings.threshold}
    self._learn(
      name,
      f"A new constraint from a rule: {name}",
      f"The function {rule} says of decoded draws whether they show it. No "
      "label was given.",
      f'control.learn("{name}", rule="{rule}", '
      f"threshold={self._settings.threshold:g})",
      **how,
    )

  def learn_from_labels(self) -> None:
    """Learns a constraint from a few labels."""
    name, limit = self._settings.label_name, self._settings.label_limit
    path = self._run.path(preset.LABELS)
    table = tables.read(path)[["id", name]].head(limit)
    self._learn(
      name,
      f"Another one from {len(table)} labels: {name}",
      "No model was told of this attribute before.",
      f'control.learn("{name}", labels=table)  # columns: id, {name}',
      labels=table,
    )

  def join(self) -> None:
    """Samples and edits with all constraints in one request."""
    request, held_out = self._joined, self._run.held_out(_SHOWN)
    samples = self._control.sample(request, _SHOWN)
    changed = self._control.transform(held_out, request)
    self._count(request, samples)
    self._add(
      "All in one request",
      f"“{request}”: new images; held-out images; and these, changed.",
      self._grid(
        [samples.images, held_out, changed.images],
        ["new", "given", "changed"],
      ),
      f'control.sample("{request}")\ncontrol.transform(images, "{request}")',
    )

  def serve(self) -> None:
    """Exports the models, and requests images from a local server."""
    place = os.path.join(self._settings.run_dir, _EXPORT)
    known = versions_folder.VersionsFolder(place).versions()
    self._say("Writing the export, a SavedModel for model servers")
    folder = os.path.join(place, str(max(known, default=0) + 1))
    # Unchecked: the server that loads the export next checks it.
    export.write(self._control.parts, folder, samplers=(), check=False)
    self._say("Starting the server")
    with local_server.serving(
      f"--model_base_path={os.path.abspath(place)}",
      "--enable_model_warmup=false",
    ) as address:
      with latent_client.LatentClient(
        address, timeout=local_server.PATIENCE
      ) as client:
        picture = pictures.draw_samples(client, self._joined, _SHOWN, seed=1)
    for version in known:
      files.remove(os.path.join(place, str(version)))
    self._add(
      "The same, asked of a server over gRPC",
      f"The export is {folder}. The server was started for one call, and has "
      "ended.",
      picture,
      f"python -m serving.server --port=8500 --model_base_path=$PWD/{place}\n"
      f'python -m serving.client sample --want="{self._joined}" '
      "--out=runs/faces.png",
    )

  def conclude(self, seconds: float) -> None:
    """Adds a table of how many images match their requests."""
    self._add(
      "In figures",
      f"How many images are as asked: read by the critics, which the samplers "
      f"know, and by a classifier of pixels, which they do not. All of this "
      f"page took {seconds:.0f} seconds.",
      table=self._rows,
    )

  def _learn(self, name, title, text, command, **how):
    self._say(f"Learning {name}")
    recipe = dict(one.split("=") for one in self._settings.recipe)
    options = {key: int(value) for key, value in recipe.items()}
    started = time.monotonic()
    wanted = self._control.learn(name, **how, **options)
    seconds = time.monotonic() - started
    made = {
      name: self._control.sample(wanted, _SHOWN),
      f"not {name}": self._control.sample(~wanted, _SHOWN),
    }
    self._count(name, made[name])
    figures = self._control.about(name)["figures"]["balanced_accuracy"]
    low, high = figures["interval"]
    self._add(
      title,
      f"{text} Learned in {seconds:.0f} seconds; balanced accuracy on rows "
      f"held out {figures['value']:.3f} ({low:.3f} to {high:.3f}).",
      self._grid([one.images for one in made.values()], [*made]),
      command,
    )

  def _count(self, request, made):
    """Adds a row to the table: how many images match a request."""
    wanted = lc_keras.parse(request, self._control.attributes)
    row = {"asked": request, "images": len(made.images)}
    read = np.stack([*made.probabilities.values()], axis=-1)
    row["critics"] = int(np.sum(wanted.satisfied(read)))
    row["classifier"] = ""
    models = self._control.parts.models
    if "classifier" in models:
      known = np.array(models["classifier"](made.images)) > 0.0
      if self._classifies(wanted):
        padded = np.pad(
          known.astype(float), [(0, 0), (0, read.shape[1] - known.shape[1])]
        )
        row["classifier"] = int(np.sum(wanted.satisfied(padded)))
    self._rows.append(row)

  def _classifies(self, wanted):
    """Returns whether the classifier reads all attributes of a request."""
    own = len(self._control.parts.labels)
    constraint = wanted.rows(1)
    return not np.asarray(constraint.mask)[:, own:].any()

  def _add(self, title, text, picture=None, command="", table=()):
    path = self._album.add(
      title, text, picture=picture, command=command, table=table
    )
    self._say(title + (f": {path}" if path else ""))

  def _grid(self, rows, labels):
    count = min(map(len, rows))
    shown = np.stack([one[:count] for one in rows])
    scale = max(1, round(96 / shown.shape[3]))
    return plotting.grid(shown, row_labels=labels, scale=scale)
