"""Run folders: a run's data set, stages and models."""

import functools
import os
from collections.abc import Sequence

import numpy as np
from absl import flags

from lc_keras import files
from lc_keras import parts
from lc_keras import preset
from lc_keras import run_folder
from lc_keras.constraints import attributes
from lc_keras.data import arrays
from lc_keras.data import names
from lc_keras.data import pipeline
from lc_keras.data import preprocessing
from lc_keras.generators import generator
from lc_keras.models import storage
from trainers import cluster
from trainers import commands
from trainers import common_flags
from trainers import devices
from trainers import messages
from trainers import stages

_MAX_BAD, _TABLE = "max_bad_examples", "table"
# Most bad examples that a message lists.
_SHOWN = 10


class Run:
  """A run folder and its data set.

  Attributes:
    folder: The run folder.
    dataset: Name of the data set; None for an imported model without one.
    data_dir: Where prepared data sets are kept.
    image_shape: (height, width, channels).
    attributes: Names and exclusions; no names without a data set.
    preset: Name of the preset that it began with; None for other runs.
    settings: The flags of the job that opened the run, or None.
  """

  def __init__(
    self,
    folder: str,
    data_dir: str = "data",
    settings: flags.FlagValues | None = None,
  ):
    """Opens a run folder that has been begun.

    Raises:
      FileNotFoundError: The folder is not a run.
    """
    about = run_folder.read_about(folder)
    self.folder = folder
    self.data_dir = data_dir
    self.settings = settings
    self.dataset = about["dataset"]
    self.image_shape = tuple(about["image_shape"])
    self.attributes = run_folder.attributes_of(about)
    self.preset = about.get("preset")
    self._is_prepared = False

  def path(self, *names: str) -> str:
    """Returns a path below the run folder."""
    return os.path.join(self.folder, *names)

  def done(self, stage: str) -> dict | None:
    """Returns a stage's done.json; None if the stage is not finished."""
    return stages.read_done(self.path(stage))

  def seconds(self) -> dict[str, float]:
    """Returns the seconds of every finished stage, by name.

    Start-up is included if the demo or a study ran the stage as a command.
    """
    measured = commands.read_seconds(self.folder)
    if measured:
      return measured
    done = {name: self.done(name) for name in sorted(os.listdir(self.folder))}
    return {name: known["seconds"] for name, known in done.items() if known}

  def stage(self, name: str, settings: flags.FlagValues) -> stages.Stage:
    """Begins or resumes a stage.

    Raises:
      ValueError: See `stages.Stage`; or it would be a second generative model.
    """
    if name in generator.STAGES:
      pair = {"vae", generator.REFINED}
      own = pair if name in pair else {name}
      for other in generator.STAGES:
        if other not in own and os.path.lexists(self.path(other)):
          raise ValueError(
            f"The run in {self.folder!r} has a generative model, in its stage "
            f"{other!r}, and can have only one. Choose another --run_dir."
          )
    return stages.Stage(self, name, settings)

  def images(self, names: Sequence[str] | None = None) -> arrays.Source:
    """Returns the images and labels of the run's data set.

    The labels are of the run's attributes, unless names are given.
    """
    if self.preset:
      self.prepare_data()  # Not before: most trainings need no images.
    return arrays.source(self.dataset, attributes=names, data_dir=self.data_dir)

  def held_out(self, count: int) -> np.ndarray:
    """Returns the first images of the test split, or those kept in a preset.

    Returns:
      float32 [n, height, width, channels] in [0, 1]; n is at most `count`.
    """
    kept = preset.held_out(self.folder)
    if kept:
      load = self.parts.preprocessing.load
      return np.stack([load(path) for path in kept[:count]])
    return next(iter(self.images().batches("test", count)))["image"].numpy()

  def file_names(self, split: str) -> list[str] | None:
    """Returns the names of a split's files in order; None if it has none."""
    return pipeline.file_names(self.dataset, split, data_dir=self.data_dir)

  def read_parts(self) -> parts.FolderParts:
    """Reads `parts` again, with new copies of all models."""
    return parts.read(self.folder, source=self.latents_source())

  @functools.cached_property
  def parts(self) -> parts.FolderParts:
    """The generator, the models and the labelled latents of the run."""
    return self.read_parts()

  @property
  def encodes(self) -> bool:
    """Whether latents are encoded images rather than draws of the prior."""
    return bool(self.dataset) and generator.has_encoder(self.folder)

  @property
  def labels_latents(self) -> bool:
    """Whether latents have labels: a data set's, a table's, a classifier's."""
    return (
      self.encodes
      or self.table is not None
      or self.done("classifier") is not None
    )

  @property
  def table(self) -> str | None:
    """Checksum of the table that labels the run's draws by seed, if any."""
    return run_folder.read_about(self.folder).get(_TABLE)

  def begin_labels(self, known: attributes.Attributes, table: str) -> None:
    """Records that a table labels the run's draws by seed, by its checksum."""
    files.write_json(
      self.path(run_folder.ABOUT),
      run_folder.read_about(self.folder)
      | {
        "attributes": known.names,
        "exclusive": known.exclusive,
        "continuous": known.continuous,
        _TABLE: table,
      },
    )
    self.attributes = known

  def latents_source(self, labelled: bool = True) -> dict[str, str | None]:
    """Returns the source that the run's latents must have been made from.

    Args:
      labelled: Whether to include the source of their labels.

    Raises:
      FileNotFoundError: There is no generative model.
      ValueError: There are no labels.
    """
    source = {
      "generator": generator.fingerprint(self.folder),
      "dataset": self.dataset,
    }
    if not labelled:
      return source
    if not self.labels_latents:
      raise ValueError(
        "The generative model cannot encode, so that its latents have no "
        "labels but those that a classifier reads. Train one (`python -m "
        "trainers.classifier`), delete the latents if there are some, and "
        "write them (`python -m trainers.latents`), with the same --run_dir."
      )
    source["attributes"] = ",".join(self.attributes.names)
    if self.table is not None:
      source["table"] = self.table
    elif not self.encodes:
      weights = self.path("classifier", storage.WEIGHTS)
      source["classifier"] = files.checksum(weights)
    return source

  def prepare_data(self, max_bad_examples: int | None = None) -> None:
    """Prepares the run's data set, if that has not been done yet.

    The most examples that may be left out, if given, hold for later jobs, too.
    """
    if self._is_prepared:  # Bad examples are told once.
      return
    about = run_folder.read_about(self.folder)
    if max_bad_examples is None:
      max_bad_examples = about.get(_MAX_BAD, 0)
    elif max_bad_examples != about.get(_MAX_BAD, 0):
      files.write_json(
        self.path(run_folder.ABOUT), about | {_MAX_BAD: max_bad_examples}
      )
    bad = pipeline.prepare(self.dataset, self.data_dir, max_bad_examples)
    if bad:
      told = "\n  ".join([*bad[:_SHOWN], *["..."][: len(bad) > _SHOWN]])
      messages.info(
        f"{self.dataset}: {len(bad)} bad examples are left out:\n  {told}"
      )
    self._is_prepared = True

  def verify_data(self) -> None:
    """Compares the checksums of all files of the data set, if there is one.

    Raises:
      FileNotFoundError, ValueError: A file is missing, or damaged.
    """
    if self.dataset:
      pipeline.verify(self.dataset, self.data_dir)


def open_run(
  settings: flags.FlagValues,
  *,
  needs_data: bool = True,
  image_shape: Sequence[int] | None = None,
) -> Run:
  """Opens a run folder, or begins one for --dataset or from --base_run.

  Prepares the data set if that has not been done yet; a preset's, only when its
  images are needed.

  Args:
    settings: The job's flags.
    needs_data: Whether the job needs a data set.
    image_shape: (height, width, channels) of an imported model, whose run can
      begin without a data set.

  Raises:
    ValueError: The run has another data set, or none; its images have another
      shape; --base_run has an unfinished stage; or the data set is damaged.
    FileNotFoundError: Files of the data set are missing.
  """
  devices.tell()
  return cluster.chief_first(
    lambda: _open_run(settings, needs_data, image_shape), settings.run_dir
  )


def _open_run(settings, needs_data, image_shape):
  folder, name = settings.run_dir, common_flags.dataset_name(settings)
  if not _is_run(folder) and settings.base_run:
    _share(settings.base_run, folder)
  is_new = not _is_run(folder)
  if is_new:
    _begin(folder, name, image_shape, settings.data_dir)
  run = Run(folder, settings.data_dir, settings)
  if name and not (run.dataset and names.agree(name, run.dataset)):
    raise ValueError(
      f"The run in {folder!r} is about {run.dataset or 'no data'}, not {name}. "
      "Leave --dataset out, or choose another --run_dir."
    )
  _check_shape(run.image_shape, image_shape, run.dataset)
  if run.dataset:
    if not run.preset:
      try:
        run.prepare_data(settings.max_bad_examples)
      except (FileNotFoundError, ValueError):
        if is_new:  # The remedy may be another --dataset or --source_dir.
          os.remove(run.path(run_folder.ABOUT))
        raise
  elif needs_data and run.table is None:
    raise ValueError(
      f"The run in {folder!r} has no data set, and so no attributes that this "
      "job could use. Import its model into another --run_dir with --dataset, "
      "give trainers.latents --seed_labels, or ask for what "
      "needs none: constraints from rules."
    )
  return run


def _is_run(folder):
  return os.path.exists(os.path.join(folder, run_folder.ABOUT))


def _check_shape(known, image_shape, dataset):
  if image_shape is not None and tuple(image_shape) != tuple(known):
    raise ValueError(
      f"The model makes images of shape {tuple(image_shape)}, but those of "
      f"{dataset or 'the run'} have {tuple(known)}. Leave --dataset out, or "
      "choose another --run_dir."
    )


def _begin(folder, dataset, image_shape, data_dir):
  """Begins a run for a data set, or for a model's image shape."""
  if dataset:
    spec = pipeline.describe(dataset, data_dir)
    _check_shape(spec.image_shape, image_shape, dataset)
    known = spec.attributes
    how = spec.preprocessing
  elif image_shape:
    known = attributes.Attributes(())
    how = preprocessing.Preprocessing(tuple(image_shape))
  else:
    raise ValueError(
      f"{run_folder.missing(folder)} To begin a run, give --dataset, or use "
      "`python -m trainers.data`."
    )
  run_folder.write_about(folder, dataset, known, **how.about())


def _share(base_run, folder):
  """Begins a run with relative links to the stages of another one.

  Those that read pixels; without a data set there is no classifier.
  """
  shared = [generator.find(base_run), "latents"]
  about = run_folder.read_about(base_run)
  if about["dataset"]:
    shared.append("classifier")
  for name in shared:
    if stages.read_done(os.path.join(base_run, name)) is None:
      raise ValueError(
        f"--base_run={base_run} has no finished stage {name!r}. Finish it "
        "there first."
      )
  os.makedirs(folder, exist_ok=True)
  for name in shared:
    link = os.path.join(folder, name)
    if not os.path.lexists(link):
      os.symlink(os.path.relpath(os.path.join(base_run, name), folder), link)
  # Last: this file marks the run as begun.
  files.write_json(os.path.join(folder, run_folder.ABOUT), about)
