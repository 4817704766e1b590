"""Flags that several jobs share, each defined in one place.

A job defines its flags in a function rather than on import, so that any number
of jobs can be imported into one process.
"""

from absl import flags

# Flags that are part of a data set's full name: how its pictures are read.
DATA_OPTIONS = ("image_size", "crop", "splits", "labels", "source_dir")


def define_run_flags(values: flags.FlagValues, begins: bool = True) -> None:
  """Defines the flags of every job: the run folder and the data set.

  Args:
    values: Where the flags are defined.
    begins: Whether the job can begin a run; adds the flags of `DATA_OPTIONS`.
  """
  flags.DEFINE_string(
    "run_dir",
    None,
    "Folder of the run; each job writes into a folder of its own below it.",
    flag_values=values,
    required=True,
  )
  flags.DEFINE_string(
    "dataset",
    None,
    "Name of the data set: toon_faces/studio, toon_faces/wild, celeb_a, "
    "fashion_mnist, images:FOLDER for your own images, or tfds:NAME for one of "
    "TensorFlow Datasets. Needed by the first job of a run; the others read it "
    "from the run. See docs/data.md.",
    flag_values=values,
  )
  if begins:
    _define_data_options(values)
  flags.DEFINE_string(
    "base_run",
    None,
    "Run whose generative model, latents and classifier a new run shares, "
    "instead of training its own: for other seeds and recipes of the rest.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "data_dir",
    "data",
    "Folder in which prepared data sets are kept.",
    flag_values=values,
  )
  flags.DEFINE_integer(
    "max_bad_examples",
    None,
    "Up to how many examples that cannot be used, such as broken images, are "
    "left out; one more is an error. Once given it holds for the run; 0 if it "
    "never was.",
    lower_bound=0,
    flag_values=values,
  )


def _define_data_options(values):
  for name, text in (
    (
      "image_size",
      "64, height,width or height,width,channels: to what pictures of the data "
      "set are resized.",
    ),
    (
      "crop",
      "Which part of a picture is resized: center, the largest that has the "
      "image's proportions; none, all of it; or x,y,width,height in pixels.",
    ),
    (
      "splits",
      "Shares of train, validation and test, such as 0.8,0.1,0.1, by a hash of "
      "the file name; for data that has no splits of its own.",
    ),
    (
      "labels",
      "Of images:FOLDER, a table with a row for each file: CSV, TSV, parquet "
      "or JSON lines. If not given, metadata.csv or the like in the folder, or "
      "folders by class.",
    ),
    (
      "source_dir",
      "Folder with the files of a data set that is fetched by hand, celeb_a.",
    ),
  ):
    flags.DEFINE_string(name, None, text, flag_values=values)


def dataset_name(values: flags.FlagValues) -> str | None:
  """Returns the full name of the data set in the flags, or None.

  Raises:
    ValueError: One of `DATA_OPTIONS` is given without --dataset.
  """
  from lc_keras.data import names

  options = {
    name: values[name].value
    for name in DATA_OPTIONS
    # A job that cannot begin a run may define --labels of another kind.
    if all(one in values for one in DATA_OPTIONS)
    and values[name].value is not None
  }
  if values.dataset is None:
    if options:
      raise ValueError(
        f"--{min(options)} goes with --dataset: say which data set, too."
      )
    return None
  return names.absolute(names.join(values.dataset, **options))


def define_machine_flags(values: flags.FlagValues) -> None:
  """Defines --keep_checkpoints, --replicas and --multi_worker."""
  flags.DEFINE_integer(
    "keep_checkpoints",
    2,
    "Number of last checkpoints to keep: should the newest be damaged, the "
    "training goes on from the one before it.",
    lower_bound=1,
    flag_values=values,
  )
  define_replicas_flag(values)
  flags.DEFINE_bool(
    "multi_worker",
    False,
    "Train together with the other machines that the environment variable "
    "TF_CONFIG names, each of which runs the same command.",
    flag_values=values,
  )


def check_batch_size(values: flags.FlagValues) -> None:
  """Requires that --batch_size be a multiple of --replicas."""
  flags.register_multi_flags_validator(
    ["replicas", "batch_size"],
    lambda given: given["batch_size"] % max(given["replicas"], 1) == 0,
    "--batch_size must be a multiple of --replicas: every replica gets the "
    "same number of rows.",
    flag_values=values,
  )


def define_replicas_flag(values: flags.FlagValues) -> None:
  """Defines --replicas."""
  flags.DEFINE_integer(
    "replicas",
    0,
    "Number of local devices to train on; 0 takes all GPUs, or one CPU. More "
    "than one on a machine without GPUs splits its CPU, which only tests.",
    lower_bound=0,
    flag_values=values,
  )
