"""Flags that several jobs share, each defined in one place.

A job defines its flags in a function rather than on import, so that any number
of jobs can be imported into one process.
"""

from absl import flags


def define_run_flags(values: flags.FlagValues) -> None:
  """Defines what every job needs: where the run is, and what its data is."""
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
    "Name of the data set, such as toon_faces/studio, toon_faces/wild, celeb_a "
    "or fashion_mnist. Needed by the first job of a run; the others read it "
    "from the run.",
    flag_values=values,
  )
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


def define_machine_flags(values: flags.FlagValues) -> None:
  """Defines where a training runs, and how many checkpoints it keeps."""
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
  """Has every replica get the same number of rows."""
  flags.register_multi_flags_validator(
    ["replicas", "batch_size"],
    lambda given: given["batch_size"] % max(given["replicas"], 1) == 0,
    "--batch_size must be a multiple of --replicas: every replica gets the "
    "same number of rows.",
    flag_values=values,
  )


def define_replicas_flag(values: flags.FlagValues) -> None:
  """Defines how many devices of this machine are used."""
  flags.DEFINE_integer(
    "replicas",
    0,
    "Number of local devices to train on; 0 takes all GPUs, or one CPU. More "
    "than one on a machine without GPUs splits its CPU, which only tests.",
    lower_bound=0,
    flag_values=values,
  )


def define_range_flag(
  values: flags.FlagValues, name: str, default: list[str] | None, text: str
) -> None:
  """Defines a flag that is two numbers, the lower first."""
  flags.DEFINE_list(name, default, text, flag_values=values)
  flags.register_validator(
    name,
    lambda given: given is None or _is_range(given),
    f"--{name} needs two numbers, the lower first, such as -1,1.",
    flag_values=values,
  )


def _is_range(given):
  try:
    low, high = map(float, given)
  except ValueError:
    return False
  return low < high
