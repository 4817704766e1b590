"""Flags that several jobs share, each defined in one place.

A job defines its flags in a function rather than on import, so that any number
of jobs can be imported into one process.
"""

from absl import flags

# Flags defined here are listed under the job that asks for them.
flags.disclaim_key_flags()


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


def define_training_flags(
  values: flags.FlagValues,
  *,
  steps: int,
  batch_size: int,
  learning_rate: float,
) -> None:
  """Defines what every training job needs, with the job's defaults.

  Args:
    values: Where the flags are defined.
    steps: Default number of steps.
    batch_size: Default global batch size.
    learning_rate: Default (highest) learning rate.
  """
  define_run_flags(values)
  flags.DEFINE_integer(
    "steps",
    steps,
    "Number of training steps in all.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "steps_per_epoch",
    0,
    "Steps between two validations, each with a checkpoint; 0 makes ten of "
    "them.",
    lower_bound=0,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "keep_checkpoints",
    2,
    "Number of last checkpoints to keep: should the newest be damaged, the one "
    "before it is gone on from.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "batch_size",
    batch_size,
    "Rows per step, over all replicas; a multiple of their number.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_float(
    "learning_rate",
    learning_rate,
    "Highest learning rate of Adam.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    "final_learning_rate",
    None,
    "Learning rate at the last step; the same as --learning_rate if not given.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_enum(
    "schedule",
    "cosine",
    ["cosine", "log"],
    "How the learning rate goes to its final value: along a cosine, or evenly "
    "in its logarithm.",
    flag_values=values,
  )
  flags.DEFINE_integer(
    "warmup_steps",
    0,
    "Steps over which the learning rate rises from zero.",
    lower_bound=0,
    flag_values=values,
  )
  define_repeatability_flags(values)
  flags.DEFINE_bool(
    "multi_worker",
    False,
    "Train together with the other machines that the environment variable "
    "TF_CONFIG names, each of which runs the same command.",
    flag_values=values,
  )
  flags.DEFINE_integer(
    "validation_limit",
    None,
    "Rows of the validation split to validate on; all if not given.",
    lower_bound=1,
    flag_values=values,
  )
  flags.register_multi_flags_validator(
    ["replicas", "batch_size"],
    lambda given: given["batch_size"] % max(given["replicas"], 1) == 0,
    "--batch_size must be a multiple of --replicas: every replica gets the "
    "same number of rows.",
    flag_values=values,
  )


def define_repeatability_flags(values: flags.FlagValues) -> None:
  """Defines what a training's numbers depend on besides its recipe."""
  flags.DEFINE_integer(
    "seed",
    0,
    "Seed of the initial weights, the order of the data and all noise.",
    lower_bound=0,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "replicas",
    0,
    "Number of local devices to train on; 0 takes all GPUs, or one CPU. More "
    "than one on a machine without GPUs splits its CPU, which only tests.",
    lower_bound=0,
    flag_values=values,
  )


def define_network_flags(values: flags.FlagValues) -> None:
  """Defines the networks that live in latent space."""
  flags.DEFINE_integer(
    "width",
    2048,
    "Units of every hidden layer of a latent-space network.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "depth",
    4,
    "Number of hidden layers of a latent-space network.",
    lower_bound=1,
    flag_values=values,
  )


def define_latent_training_flags(values: flags.FlagValues) -> None:
  """Defines the networks that live in latent space, and what they are fed."""
  define_network_flags(values)
  flags.DEFINE_float(
    "balanced_fraction",
    0.0,
    "Share of rows drawn so that rare attributes are as frequent as common "
    "ones; 0 is the published recipe.",
    lower_bound=0.0,
    upper_bound=1.0,
    flag_values=values,
  )


def define_architecture_flag(values: flags.FlagValues) -> None:
  """Defines which networks look at pixels."""
  flags.DEFINE_string(
    "architecture",
    "celeb_a",
    "Networks that look at pixels: celeb_a (published), mlp (published, any "
    "image size) or toon_faces (fast on a CPU).",
    flag_values=values,
  )


def define_autoencoder_flags(values: flags.FlagValues) -> None:
  """Defines what a variational autoencoder is, conditional or not."""
  flags.DEFINE_integer(
    "latent_size", 1024, "Size of z.", lower_bound=1, flag_values=values
  )
  flags.DEFINE_float(
    "observation_scale",
    0.1,
    "sigma_x, the standard deviation of a pixel given z, in units of the pixel "
    "range [0, 1]: 0.1 is sharp, 1 is blurry.",
    lower_bound=1e-3,
    flag_values=values,
  )
  flags.DEFINE_float(
    "beta",
    1.0,
    "Weight of the rate; 1 is the evidence lower bound.",
    lower_bound=0.0,
    flag_values=values,
  )


def define_adversarial_flags(values: flags.FlagValues) -> None:
  """Defines what a generative adversarial network is, conditional or not."""
  flags.DEFINE_integer(
    "latent_size", 256, "Size of z.", lower_bound=1, flag_values=values
  )
  flags.DEFINE_float(
    "penalty_weight",
    1.0,
    "Weight of the discriminator's zero-centred gradient penalty.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    "average_decay",
    0.999,
    "Decay, per update, of the moving average of the generator's weights.",
    lower_bound=0.0,
    upper_bound=1.0,
    flag_values=values,
  )
