"""The settings of every training, as dataclasses.

Each setting is defined once, here: the trainers' flags, the docstrings below
and the records of runs are derived from the fields. Nothing in this module
needs TensorFlow.

>>> from lc_keras import recipes
>>> recipes.Flow(steps=100, width=64).epochs
10
"""

import dataclasses
import math
import textwrap


def setting(default, text: str, *, low=None, high=None, choices=None):
  """Returns a field of a recipe.

  Args:
    default: Its default value.
    text: Its meaning, a sentence with its unit.
    low: Lowest value allowed.
    high: Highest value allowed.
    choices: All values allowed.
  """
  return dataclasses.field(
    default=default,
    metadata={"text": text, "low": low, "high": high, "choices": choices},
  )


def recipe(**defaults):
  """Returns a decorator that turns a class with `setting` fields into a recipe.

  Args:
    **defaults: New defaults of inherited fields.
  """

  def decorate(cls):
    for name, value in defaults.items():
      (inherited,) = (
        field for field in dataclasses.fields(cls) if field.name == name
      )
      cls.__annotations__ = {name: inherited.type} | cls.__annotations__
      setattr(cls, name, setting(value, **inherited.metadata))
    made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    lines = [made.__doc__, "", "  Attributes:"]
    for field in dataclasses.fields(made):
      text = f"{field.name}: {field.metadata['text']}"
      lines += textwrap.wrap(
        text, 80, initial_indent=" " * 4, subsequent_indent=" " * 6
      )
    made.__doc__ = "\n".join([*lines, "  "])
    return made

  return decorate


class _Checked:
  """Checks the values of a recipe when it is made."""

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value, known = getattr(self, field.name), field.metadata
      low, high, choices = known["low"], known["high"], known["choices"]
      if value is None and field.default is None:
        continue
      if choices and value not in choices:
        raise ValueError(
          f"{field.name} must be one of {', '.join(choices)}; got {value!r}."
        )
      if (low is not None and not value >= low) or (
        high is not None and not value <= high
      ):
        bounds = (
          f"from {low:g} up" if high is None else f"in [{low:g}, {high:g}]"
        )
        raise ValueError(f"{field.name} must be {bounds}; got {value!r}.")


@recipe()
class Training(_Checked):
  """How any model is trained."""

  steps: int = setting(10_000, "Total number of training steps.", low=1)
  steps_per_epoch: int = setting(
    0,
    "Steps per epoch, which ends with a validation and a checkpoint; 0 makes "
    "ten epochs.",
    low=0,
  )
  batch_size: int = setting(
    128,
    "Rows per step, summed over all replicas; a multiple of their number.",
    low=1,
  )
  learning_rate: float = setting(1e-4, "Highest learning rate of Adam.", low=0)
  final_learning_rate: float | None = setting(
    None,
    "Learning rate at the last step; the same as the highest if not given.",
    low=0,
  )
  schedule: str = setting(
    "cosine",
    "Decay of the learning rate to its final value: along a cosine, or "
    "exponentially (log).",
    choices=("cosine", "log"),
  )
  warmup_steps: int = setting(
    0, "Steps over which the learning rate rises from zero.", low=0
  )
  seed: int = setting(
    0,
    "Seed of the initial weights, the order of the data and all noise.",
    low=0,
  )

  @property
  def epoch(self) -> int:
    """Steps of an epoch."""
    return min(self.steps_per_epoch or math.ceil(self.steps / 10), self.steps)

  @property
  def epochs(self) -> int:
    """Number of epochs; the last one is as long as the others."""
    return math.ceil(self.steps / self.epoch)


@recipe(batch_size=256, learning_rate=3e-4)
class OnImages(Training):
  """How any model is trained on images."""

  validation_limit: int | None = setting(
    None, "Images to validate on; all of the split if not given.", low=1
  )


@recipe()
class Pixels(OnImages):
  """How any model with an architecture is trained on images."""

  architecture: str = setting(
    "celeb_a",
    "Networks of images: residual, celeb_a (published, ten times the "
    "arithmetic), mlp (published, any image size) or toon_faces (fast on a "
    "CPU).",
  )


_MIXED_PRECISION = (
  "Whether convolutions and matrix products are computed in bfloat16, several "
  "times faster on GPUs from 2020 on; weights, sums and losses stay float32, "
  "also in files."
)
_AVERAGE_DECAY = "Decay, per update, of the moving average of the {} weights."


@recipe(steps=200_000)
class VAE(Pixels):
  """How a variational autoencoder is trained, conditional or not."""

  latent_size: int = setting(1024, "Size of z.", low=1)
  observation_scale: float = setting(
    0.1,
    "sigma_x, the standard deviation of a pixel given z, in units of the pixel "
    "range [0, 1]: 0.1 is sharp, 1 is blurry.",
    low=1e-3,
  )
  beta: float = setting(
    1.0, "Weight of the rate; 1 is the evidence lower bound.", low=0
  )
  mixed_precision: bool = setting(False, _MIXED_PRECISION)


@recipe(steps=2000, batch_size=64, learning_rate=1e-3)
class Refiner(OnImages):
  """How the network behind a frozen VAE's decoder is trained."""

  width: int = setting(32, "Channels of its hidden layers.", low=1)
  depth: int = setting(3, "Number of its hidden layers.", low=1)


@recipe(steps=200_000, batch_size=64)
class GAN(Pixels):
  """How a generative adversarial network is trained."""

  latent_size: int = setting(256, "Size of z.", low=1)
  penalty_weight: float = setting(
    1.0, "Weight of the discriminator's zero-centred gradient penalty.", low=0
  )
  average_decay: float = setting(
    0.999, _AVERAGE_DECAY.format("generator's"), low=0, high=1
  )


@recipe()
class ConditionalGAN(GAN):
  """How a conditional generative adversarial network is trained."""

  mismatch_weight: float = setting(
    1.0,
    "Weight of real images with another image's labels in the "
    "discriminator's loss; 0 leaves them out.",
    low=0,
  )


@recipe(steps=40_000)
class Classifier(Pixels):
  """How the pixel classifier is trained."""

  mixed_precision: bool = setting(False, _MIXED_PRECISION)


@recipe()
class OnLatents(Training):
  """How any model is trained on latents."""

  width: int = setting(
    2048, "Units of every hidden layer of a latent-space network.", low=1
  )
  depth: int = setting(
    4, "Number of hidden layers of a latent-space network.", low=1
  )


@recipe()
class Realism(OnLatents):
  """How the critic that tells encoded images from the prior is trained."""

  moved_fraction: float | None = setting(
    None,
    "Share of the negatives that are encoded images, moved along the attribute "
    "critic's gradient; the others are draws of the prior. By default 0.5 for "
    "a generator with a mapping, and 0, as published, for others.",
    low=0,
    high=1,
  )


@recipe()
class Labelled(OnLatents):
  """How any model is trained on latents and their labels."""

  balanced_fraction: float = setting(
    0.0,
    "Share of rows drawn so that rare attributes are as frequent as common "
    "ones; 0 is the published recipe.",
    low=0,
    high=1,
  )


@recipe()
class Attributes(Labelled):
  """How the attribute critic is trained."""

  noise_scale: float = setting(
    1.0,
    "Noise on the latents, as a multiple of the posterior's scale; 1 is the "
    "published recipe, more makes the critic harder for an actor to mislead.",
    low=0,
  )
  members: int = setting(
    1,
    "Number of independently trained networks whose mean is the critic: "
    "latents that mislead one do not mislead all; 1 is the published recipe.",
    low=1,
  )
  dropout: float = setting(
    0.0,
    "Dropout rate of the last hidden layer, for training on few labels.",
    low=0,
    high=0.9,
  )
  edit_weight: float = setting(
    0.0,
    "Weight of edits along the critic's own gradient, as further training "
    "rows. Their labels are its readings after decoding and encoding again, or "
    "a classifier's if the generator cannot encode; 0 is the published recipe.",
    low=0,
  )


@recipe(steps=20_000, batch_size=256, learning_rate=1e-3)
class Flow(Labelled):
  """How the conditional flow is trained."""

  average_decay: float = setting(
    0.999, _AVERAGE_DECAY.format("velocity's"), low=0, high=1
  )


@recipe(steps=20_000)
class Actor(Labelled):
  """How an actor and its critic are trained.

  The weight of a term of the actor's loss is named after the term, see
  `actor_critic.TERMS`.
  """

  distance_weight: float = setting(
    0.1,
    "lambda_dist, weight of the distance moved: 0 samples freely, 0.1 keeps "
    "identity.",
    low=0,
  )
  realism_weight: float = setting(
    1.0, "Weight of the critic's cross-entropy in the actor's loss.", low=0
  )
  same_weight: float = setting(
    0.0,
    "Weight of the squared distance between the learned embeddings, such as of "
    "a face's identity, of the start and of the moved latent; 0 is the "
    "published recipe.",
    low=0,
  )
  attribute_weight: float = setting(
    0.0,
    "Weight of the attribute critic's cross-entropy on the actor's latents; 0 "
    "is the published recipe.",
    low=0,
  )
  imitation_weight: float = setting(
    0.0,
    "Weight of the squared distance, per dimension, to the latent that the "
    "flow makes for the same request; 0 is the published recipe, and needs no "
    "flow.",
    low=0,
  )
  lessons: int = setting(
    40_000,
    "With imitation: number of samples, and of edits, that the flow makes for "
    "the actor to imitate.",
    low=1,
  )
  strides: int = setting(
    1,
    "With imitation: number of strides in which the actor follows the flow, "
    "each an evaluation of its network.",
    low=1,
  )
  attribute_noise: float = setting(
    0.0,
    "Noise on the latents that the attribute critic reads, in units of "
    "sigma_bar: a request must then hold with some margin.",
    low=0,
  )
  match_moments: bool = setting(
    True,
    "Whether prior samples are transformed to the mean and the covariance of "
    "the encoded images before the actor moves them, as always with imitation "
    "and never in the published recipe.",
  )
  real_weight: float = setting(
    1.0,
    "Weight of requests on encoded images, relative to requests on prior "
    "samples; 0 trains the actor only to sample.",
    low=0,
  )
  penalty_weight: float = setting(
    10.0, "Weight of the critic's gradient penalty.", low=0
  )
  # Bounded, since updates are unrolled and each has its own noise streams.
  critic_steps: int = setting(
    10,
    "Updates of the critic per update of the actor, all in one training step.",
    low=1,
    high=100,
  )
  prior_fraction: float = setting(
    0.1,
    "Share of the critic's fakes that are raw prior samples.",
    low=0,
    high=1,
  )
  wrong_weight: float = setting(
    1.0,
    "Weight of real rows with wrong labels in the critic's loss; 0 leaves them "
    "out.",
    low=0,
  )
  switched_fraction: float = setting(
    0.75,
    "Share of wrong labels that are a row's own with one attribute switched; "
    "the others are another row's, as published.",
    low=0,
    high=1,
  )
  masked_fraction: float = setting(
    0.5,
    "Share of training requests that leave some attributes open. With 0, as "
    "published, all name all attributes, and the networks are given no mask.",
    low=0,
    high=1,
  )
  beta_1: float = setting(
    0.0,
    "Decay rate of the mean gradient in the actor's Adam. The published one is "
    "0, as is the critic's.",
    low=0,
    high=1,
  )
  beta_2: float = setting(
    0.9,
    "Decay rate of the mean squared gradient in the actor's Adam; 0.9 in the "
    "critic's.",
    low=0,
    high=1,
  )
  average_decay: float = setting(
    0.999, _AVERAGE_DECAY.format("actor's"), low=0, high=1
  )


@recipe(
  steps=1500,
  batch_size=256,
  learning_rate=2e-3,
  final_learning_rate=0.0,
  warmup_steps=100,
  width=512,
  depth=3,
)
class SearchActor(OnLatents):
  """How an actor that replaces a search is trained, on the search's loss."""

  distance_weight: float = setting(
    0.03,
    "Weight of the squared distance moved, in whitened coordinates.",
    low=0,
  )
  same_weight: float = setting(
    0.0,
    "Weight of the squared distance between the learned embeddings, such as of "
    "a face's identity, of the start and of the moved latent.",
    low=0,
  )


@recipe()
class Encoder(_Checked):
  """How an encoder is learned for a generator that has none."""

  count: int = setting(
    1000,
    "Number of draws that the first guess, a linear regression, is fitted to.",
    low=2,
  )
  steps: int = setting(
    60,
    "Gradient steps through the decoder that refine the guess for every image; "
    "0 returns the guess, as for a decoder without gradients.",
    low=0,
  )
  tried: int = setting(
    4, "Number of held-out draws that its error is measured on.", low=1
  )
  seed: int = setting(0, "Seed of the draws.", low=0)


# Training rounds of a learned constraint's actor; after each but the last, the
# critic is trained on the actor's edits.
ACTOR_ROUNDS = 3


@recipe()
class Constraint(_Checked):
  """How a constraint is learned from a rule or from labels."""

  width: int = setting(256, "Units of the critic's hidden layers.", low=1)
  depth: int = setting(2, "Number of the critic's hidden layers.", low=1)
  folds: int = setting(
    5,
    "Members of the critic; each is trained without the rows of one fold.",
    low=2,
  )
  steps: int = setting(400, "Training steps of each round.", low=1)
  rounds: int = setting(
    3,
    "Training rounds; after each but the last, edits along the critic's "
    "gradient join the training rows.",
    low=1,
  )
  noise_scale: float = setting(
    2.0,
    "Noise on the latents, as a multiple of the posterior's scale.",
    low=0,
  )
  count: int = setting(4096, "Least number of draws that a rule scores.", low=1)
  limit: int = setting(
    20_000,
    "Largest number of draws that a rule scores, to find rare values.",
    low=1,
  )
  actor_steps: int = setting(
    0,
    "Training steps of an actor, which replaces a search by one step; 1,000 "
    "are enough, and 0 trains none.",
    low=0,
  )
  seed: int = setting(0, "Seed of draws, weights and batches.", low=0)

  @property
  def all_steps(self) -> int:
    """Steps of the critic, including those between the rounds of an actor."""
    more = ACTOR_ROUNDS - 1 if self.actor_steps else 0
    return self.steps * (self.rounds + more)


@recipe()
class Rule(_Checked):
  """How to decide whether a constraint holds in an image.

  One of `rule`, `like` with `unlike`, and `sentence`; the other settings refine
  it. In Python, a setting may be the object itself instead of its address.
  """

  rule: str | None = setting(
    None,
    "module:function that returns a number for each image of a batch; or a "
    "classifier: a file (.keras, .h5, .onnx, .pt2, .pt) or the folder of a "
    "SavedModel. Its code is executed.",
  )
  rule_class: str | None = setting(
    None,
    "Class of the classifier that images must belong to: its number, from 0 "
    "up, or its name.",
  )
  rule_labels: str | None = setting(
    None, "Text file with the names of the classifier's classes, one per line."
  )
  rule_pixels: str | None = setting(
    None,
    "Pixel values that the classifier, or the network of --features, expects: "
    "those of black and white, such as 0,1 or -1,1 or 0,255; or torch or "
    "caffe, normalised by ImageNet's means and scales. By default inferred, by "
    "applying it to images.",
  )
  rule_outputs: str | None = setting(
    None,
    "The classifier's outputs: probabilities; softmax, for logits of classes "
    "that exclude each other; or sigmoid, for logits of independent classes. "
    "By default inferred from their values.",
    choices=("probabilities", "softmax", "sigmoid"),
  )
  like: str | None = setting(
    None, "Folder of example pictures to accept, with --unlike."
  )
  unlike: str | None = setting(
    None, "Folder of example pictures to reject, with --like."
  )
  features: str | None = setting(
    None,
    "Network whose outputs are the features that examples are compared by, "
    "given like a classifier of --rule; by default the run's own classifier, "
    "or else its encoder.",
  )
  sentence: str | None = setting(
    None, "Sentence that describes images to accept, with --image_text."
  )
  against: str | None = setting(
    None,
    "A second sentence: an image is accepted if it matches --sentence better. "
    "Without it, an image is accepted if it matches --sentence as well as the "
    "best quarter of some generated images.",
  )
  image_text: str | None = setting(
    None,
    "module:function that returns an image-text model, an object with "
    "encode_image and encode_text, see docs/constraints.md.",
  )
  threshold: float | None = setting(
    None,
    "Least value of the rule for which the constraint holds; without it, and "
    "without target_range, values must be in [0, 1].",
  )
  target_range: str | None = setting(
    None, "low,high: range of the rule's values for which the constraint holds."
  )
