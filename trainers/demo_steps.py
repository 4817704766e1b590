"""Steps of the demo; each adds its result to the page."""

import os
import time

import numpy as np
from sklearn import linear_model
from sklearn import pipeline
from sklearn import preprocessing

import lc_keras
from lc_keras import files
from lc_keras import plotting
from lc_keras import preset
from lc_keras.data import tables
from lc_keras.evaluation import album
from lc_keras.evaluation import judge
from serving import export
from serving import latent_client
from serving import pictures
from serving import versions_folder
from trainers import local_server
from trainers import runs

_SHOWN = 8
_SAMPLES = 16
_EXPORT = "export"
# Share of the labels of an attribute's judge that measure it.
_TEST = 1 / 8


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
    # By attribute, who reads it in images, and how; no sampler knows them.
    self._judges = {}
    parts = self._control.parts
    if "classifier" in parts.models:
      read = judge.Judge(parts.models["classifier"]).probabilities
      for column, name in enumerate(parts.labels.names):
        self._judges[name] = (
          "the classifier",
          lambda images, column=column: read(images)[:, column],
        )

  @property
  def _joined(self):
    names = (self._settings.rule_name, self._settings.label_name)
    return ", ".join([self._settings.want, *names])

  def sample(self) -> None:
    """Samples images for the first request."""
    want = self._settings.want
    images = self._control.sample(want, _SAMPLES)
    self._count(want, images, "new")
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
    rows, as_asked = [held_out, self._reconstructed(held_out)], [True, True]
    for change in changes:
      made = self._control.transform(held_out, change)
      as_asked.append(self._count(change, made, "given"))
      rows.append(made.images)
    self._add(
      "Held-out images, changed",
      "The generator has never seen them. It cannot show them better than "
      "reconstructed: compare edits with that row. Each row below asks for one "
      "thing, and everything else should stay.",
      self._grid(rows, ["given", "reconstructed", *changes], as_asked),
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
      lambda: ("the rule itself", lc_keras.Rule(**how), ""),
      **how,
    )

  def learn_from_labels(self) -> None:
    """Learns a constraint from a few labels."""
    name, limit = self._settings.label_name, self._settings.label_limit
    path = self._run.path(preset.LABELS)
    known = tables.read(path)[["id", name]]
    table = known.head(limit)
    self._learn(
      name,
      f"Another one from {len(table)} labels: {name}",
      "No model was told of this attribute before.",
      f'control.learn("{name}", labels=table)  # columns: id, {name}',
      lambda: self._reader(*known[limit:].to_numpy().T.astype(int)),
      labels=table,
    )

  def join(self) -> None:
    """Samples and edits with all constraints in one request."""
    request, held_out = self._joined, self._run.held_out(_SHOWN)
    samples = self._control.sample(request, _SHOWN)
    changed = self._control.transform(held_out, request)
    as_asked = [self._count(request, samples, "new"), True, True]
    as_asked.append(self._count(request, changed, "given"))
    rows = [samples.images, held_out, self._reconstructed(held_out)]
    self._add(
      "All in one request",
      f"“{request}”: new images; held-out images; and these, changed.",
      self._grid(
        [*rows, changed.images],
        ["new", "given", "reconstructed", "changed"],
        as_asked,
      ),
      f'control.sample("{request}", n={_SHOWN})\n'
      f'control.transform(images, "{request}")',
    )

  def serve(self) -> None:
    """Exports the models, and requests images from a local server."""
    place = os.path.join(self._settings.run_dir, _EXPORT)
    known = versions_folder.VersionsFolder(place).versions()
    self._say("Writing the export, a SavedModel for model servers")
    folder = os.path.join(place, str(max(known, default=0) + 1))
    # Unchecked: the server that loads the export next checks it.
    export.write(self._control.parts, folder, samplers=["flow"], check=False)
    self._say("Starting the server")
    with local_server.serving(
      f"--model_base_path={os.path.abspath(place)}",
      "--enable_model_warmup=false",
    ) as address:
      with latent_client.LatentClient(
        address, timeout=local_server.PATIENCE
      ) as client:
        picture = pictures.draw_samples(client, self._joined, _SHOWN, seed=0)
    for version in known:
      files.remove(os.path.join(place, str(version)))
    self._add(
      "The same, asked of a server over gRPC",
      f"The same seeds make the same people. The export is {folder}; the "
      "server was started for one call, and has ended.",
      picture,
      f"python -m serving.server --port=8500 --model_base_path=$PWD/{place}\n"
      f'python -m serving.client sample --want="{self._joined}" --n={_SHOWN} '
      "--out=runs/faces.png",
    )

  def conclude(self, seconds: float) -> None:
    """Adds a table of how many images match their requests."""
    self._add(
      "In figures",
      "How many images are as asked: by the critics, which the samplers know, "
      "and by judges of images, which they do not. Orange frames in the "
      "pictures above mark what the judges do not find as asked. All of this "
      f"page took {seconds:.0f} seconds.",
      table=self._rows,
    )

  def _learn(self, name, title, text, command, judge_of, **how):
    self._say(f"Learning {name}")
    recipe = dict(one.split("=") for one in self._settings.recipe)
    options = {key: int(value) for key, value in recipe.items()}
    started = time.monotonic()
    wanted = self._control.learn(name, **how, **options)
    seconds = time.monotonic() - started
    figures = self._control.about(name)["figures"]["balanced_accuracy"]
    low, high = figures["interval"]
    text = (
      f"{text} Learned in {seconds:.0f} seconds; balanced accuracy on rows "
      f"held out {figures['value']:.3f} ({low:.3f} to {high:.3f})."
    )
    who, read, about = judge_of()
    self._judges[name] = who, read
    rows, shown, counts = {name: wanted, f"not {name}": ~wanted}, [], []
    for request, expression in rows.items():
      made = self._control.sample(expression, _SAMPLES)
      as_asked = self._count(request, made, "new")
      chosen = np.argsort(~as_asked, kind="stable")[:_SHOWN]
      shown.append((made.images[chosen], as_asked[chosen]))
      counts.append(f"{as_asked.sum()} of {_SAMPLES}")
    images, as_asked = zip(*shown)
    self._add(
      title,
      f"{text} As asked are {' and '.join(counts)} images by {who}{about}; "
      "those are shown first.",
      self._grid(images, [*rows], as_asked),
      f'{command}\ncontrol.sample("{name}", n={_SAMPLES})',
    )

  def _reader(self, ids, values):
    """Returns a judge that reads encodings; it learns from labels of rows."""
    means = self._control.parts.latents["train"].mean[ids]
    count = round(len(values) * (1.0 - _TEST))
    reader = pipeline.make_pipeline(
      preprocessing.StandardScaler(),
      linear_model.LogisticRegression(max_iter=1000),
    ).fit(means[:count], values[:count])
    right = reader.score(means[count:], values[count:])

    def read(images):
      return reader.predict(self._control.parts.encode(images).mean())

    about = f" ({count} other labels; {right:.1%} right on the rest)"
    return "a linear reader of encodings", read, about

  def _reconstructed(self, images):
    return self._control.decode(self._control.encode(images))

  def _count(self, request, made, kind):
    """Adds a row to the table; returns which images are as asked.

    By judges of images if there are some for all that is asked, else by the
    critics.
    """
    attributes = self._control.attributes
    wanted = lc_keras.parse(request, attributes)
    read = np.stack([*made.probabilities.values()], axis=-1)
    as_asked = np.asarray(wanted.satisfied(read))
    row = {"asked": request, "images": f"{len(read)} {kind}"}
    row |= {"by the critics": int(as_asked.sum()), "by judges": "", "who": ""}
    mask = np.asarray(wanted.rows(len(read)).mask).any(axis=0)
    asked = np.array(attributes.names)[mask]
    if self._judges.keys() >= set(asked):
      seen = np.zeros_like(read)
      for name in asked:
        seen[:, attributes.index(name)] = self._judges[name][1](made.images)
      as_asked = np.asarray(wanted.satisfied(seen))
      who = dict.fromkeys(self._judges[name][0] for name in asked)
      row |= {"by judges": int(as_asked.sum()), "who": ", ".join(who)}
    self._rows.append(row)
    return as_asked

  def _add(self, title, text, picture=None, command="", table=()):
    path = self._album.add(
      title, text, picture=picture, command=command, table=table
    )
    self._say(title + (f": {path}" if path else ""))

  def _grid(self, rows, labels, as_asked):
    count = min(map(len, rows))
    shown = np.stack([one[:count] for one in rows])
    framed = [~np.resize(one, count) for one in as_asked]
    scale = max(1, round(96 / shown.shape[3]))
    return plotting.grid(
      shown, row_labels=labels, scale=scale, highlight=np.stack(framed)
    )
