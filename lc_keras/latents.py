"""The cached posterior of a data set: pixels are looked at once.

Everything after the generative model trains on z = mean + scale * eps with
fresh eps, so one pass that writes mean, scale and attributes of every image is
all that is needed (Engel et al. 2018, section 3). A generative model that
cannot encode has no posterior: draws of its prior take their place.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tensorflow as tf

from lc_keras import files

_MANIFEST = "manifest.json"
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Latents:
  """The posterior of one split, or draws of the prior.

  Attributes:
    mean: float32 [n, latent_size].
    scale: float32 [n, latent_size], standard deviations.
    attributes: float32 [n, num_attributes] in {0, 1}; [n, 0] if nobody knows.
  """

  mean: np.ndarray
  scale: np.ndarray
  attributes: np.ndarray

  def __len__(self) -> int:
    return len(self.mean)


def encode(generator, dataset: Iterable[Mapping[str, tf.Tensor]]) -> Latents:
  """Encodes every image of a data set, in order.

  Args:
    generator: A model with `encode(images)`.
    dataset: Batches of "image" and "attributes".
  """
  function = tf.function(
    lambda images: _mean_and_scale(generator.encode(images)), autograph=False
  )
  means, scales, attributes = [], [], []
  for batch in dataset:
    mean, scale = function(batch["image"])
    means.append(mean.numpy())
    scales.append(scale.numpy())
    attributes.append(batch["attributes"].numpy())
  return Latents(*map(np.concatenate, (means, scales, attributes)))


def draw(
  generator,
  rows: int,
  scale: float,
  seed: tuple[int, int],
  *,
  read: Callable[[tf.Tensor], tf.Tensor] | None = None,
  batch_size: int = 256,
  progress: Callable[[Iterable], Iterable] = iter,
) -> Latents:
  """Draws from the prior, for a model that cannot encode.

  Args:
    generator: A model with `decode(latents)` and `latent_size`.
    rows: How many.
    scale: Standard deviation of each row in each dimension. Such a model has no
      posterior; what is meant is how far one can move without it being seen.
    seed: Of the draws.
    read: Images to labels [batch, num_attributes] in {0, 1}; None gives no
      attributes, and then nothing is decoded.
    batch_size: Images decoded at once.
    progress: Wraps the batches, to show how far it is.
  """
  mean = tf.random.stateless_normal([rows, generator.latent_size], seed)
  attributes = np.zeros([rows, 0], np.float32)
  if read is not None:
    function = tf.function(
      lambda latents: read(generator.decode(latents).mean()), autograph=False
    )
    starts = progress(range(0, rows, batch_size))
    labels = [function(mean[start : start + batch_size]) for start in starts]
    attributes = np.concatenate(labels)
  return Latents(
    mean.numpy(), np.full(mean.shape, scale, np.float32), attributes
  )


def write(
  folder: str, splits: Mapping[str, Latents], source: Mapping[str, str]
) -> None:
  """Writes a cache; the manifest last, so that half a cache is none.

  Args:
    folder: Replaced as a whole.
    splits: By name; "train" gives sigma_bar.
    source: Where the latents come from; `read` compares it.
  """
  with files.replacing(folder) as aside:
    os.makedirs(aside)
    checksums = {}
    for name, latents in splits.items():
      path = os.path.join(aside, f"{name}.npz")
      np.savez(path, **dataclasses.asdict(latents))
      checksums[f"{name}.npz"] = files.checksum(path)
    posterior_scale = splits["train"].scale.mean(axis=0, dtype=np.float64)
    files.write_json(
      os.path.join(aside, _MANIFEST),
      {
        "format": _FORMAT,
        "source": dict(source),
        "checksums": checksums,
        "rows": {name: len(latents) for name, latents in splits.items()},
        "posterior_scale": posterior_scale.tolist(),
        "attribute_frequencies": splits["train"].attributes.mean(0).tolist(),
      },
    )


def read_manifest(folder: str, source: Mapping[str, str] | None = None) -> dict:
  """Returns a cache's manifest after checking that it is the right one.

  Args:
    folder: What `write` wrote.
    source: What the latents must come from; None accepts any.

  Raises:
    FileNotFoundError: There is no whole cache.
    ValueError: The cache is of another format, or of another source.
  """
  path = os.path.join(folder, _MANIFEST)
  if not os.path.exists(path):
    raise FileNotFoundError(
      f"No latent cache in {folder!r}. Write it with "
      "`python -m trainers.latents` and the same --run_dir."
    )
  with open(path, encoding="utf-8") as file:
    manifest = json.load(file)
  if manifest["format"] != _FORMAT:
    raise ValueError(
      f"The latent cache in {folder!r} has format {manifest['format']}; this "
      f"version reads {_FORMAT}. Delete the folder and write it again."
    )
  known = manifest["source"]
  if "vae" in known:
    # Its name before there were other generators.
    known["generator"] = known.pop("vae")
  for key, value in (source or {}).items():
    found = known.get(key)
    if found != value:
      raise ValueError(
        f"The latent cache in {folder!r} is stale or foreign: its {key} is "
        f"{found!r}, expected {value!r}. Delete the folder and run "
        "`python -m trainers.latents` again."
      )
  for name in manifest["checksums"]:
    files.check_name(name, f"a file of the latent cache in {folder!r}")
  return manifest


def read(
  folder: str, split: str, source: Mapping[str, str] | None = None
) -> Latents:
  """Reads one split of a cache.

  Raises:
    FileNotFoundError: There is no whole cache, or no such split.
    ValueError: The cache is stale, foreign or damaged.
  """
  manifest = read_manifest(folder, source)
  name = f"{split}.npz"
  if name not in manifest["checksums"]:
    raise FileNotFoundError(
      f"The latent cache in {folder!r} has no split {split!r}; it has "
      f"{', '.join(sorted(manifest['rows']))}."
    )
  path = os.path.join(folder, name)
  if files.checksum(path) != manifest["checksums"][name]:
    raise ValueError(
      f"{path} is damaged: its checksum is not the manifest's. Delete "
      f"{folder!r} and run `python -m trainers.latents` again."
    )
  with np.load(path, allow_pickle=False) as arrays:
    return Latents(arrays["mean"], arrays["scale"], arrays["attributes"])


def covariance(latents: Latents) -> np.ndarray:
  """Returns how the means vary together, float32 [latent_size, latent_size].

  Few directions hold nearly all of the variance; in the others encoded images
  do not differ, and nothing trained on them knows what a move there means.
  """
  return np.cov(latents.mean, rowvar=False).astype(np.float32)


def principal_axes(latents: Latents) -> tuple[np.ndarray, np.ndarray]:
  """Returns along which axes draws of the posterior vary, and how much.

  Unlike `covariance`, this counts the posterior's own noise.

  Returns:
    Variances, float64 [latent_size] in rising order, and the axes, float64
    [latent_size, latent_size], one a column.
  """
  noise = np.square(latents.scale, dtype=np.float64).mean(axis=0)
  means = latents.mean.astype(np.float64)
  return np.linalg.eigh(np.cov(means, rowvar=False) + np.diag(noise))


def batches(latents: Latents, batch_size: int) -> tf.data.Dataset:
  """Returns one pass over a split, in order, with the remainder.

  Yields "mean", "scale", "attributes" and "focus", an attribute per row in
  turn, see `training_batches`.
  """
  focus = np.arange(len(latents)) % latents.attributes.shape[1]
  return tf.data.Dataset.from_tensor_slices(
    {**dataclasses.asdict(latents), "focus": focus}
  ).batch(batch_size)


def training_batches(
  latents: Latents,
  batch_size: int,
  *,
  turns: int = 1,
  balanced_fraction: float = 0.0,
  seed: int = 0,
  start_step: int = 0,
) -> tf.data.Dataset:
  """Returns endless random batches; batch i depends on the seed and i alone.

  Args:
    latents: A split.
    batch_size: Rows per batch and turn.
    turns: Sub-batches per batch; 1 leaves the dimension out.
    balanced_fraction: Share of rows drawn so that rare attributes are as
      frequent as common ones: an attribute and a value are drawn first, then
      a row that has it. The attribute is the row's "focus". The other rows
      are drawn evenly, with a random focus.
    seed: Seed of the draws.
    start_step: Number of batches to leave out: what a resumed run has seen.

  Returns:
    Batches of "mean" and "scale" [batch, turns, latent_size], "attributes"
    [batch, turns, num_attributes], and "focus" int64 [batch, turns].

  Raises:
    ValueError: There are fewer rows than one batch, or no attributes.
  """
  if len(latents) < batch_size:
    raise ValueError(
      f"A batch of {batch_size} rows needs at least as many latents; got "
      f"{len(latents)}. Lower --batch_size or encode more images."
    )
  rows_per_batch = batch_size * turns
  num_attributes = latents.attributes.shape[1]
  if not num_attributes:
    raise ValueError(
      "These latents have no labels to train on: nothing is known of what they "
      "show. Train a classifier for the run, delete its latents, and write "
      "them again, with `python -m trainers.latents`."
    )
  order, starts, counts = _rows_by_value(latents.attributes)
  tables = tuple(map(tf.constant, (order, starts, counts)))
  arrays = {
    name: tf.constant(value)
    for name, value in dataclasses.asdict(latents).items()
  }

  def draw(step):
    order, starts, counts = tables
    uniform = tf.random.stateless_uniform(
      [4, rows_per_batch], tf.stack([tf.cast(seed, tf.int64), step])
    )
    evenly = tf.cast(uniform[0] * len(latents), tf.int64)
    # A list of rows per attribute and value, 2 * num_attributes in all.
    choice = tf.cast(uniform[1] * 2 * num_attributes, tf.int64)
    count = tf.gather(counts, choice)
    place = tf.cast(uniform[0] * tf.cast(count, tf.float32), tf.int64)
    place = tf.minimum(place, count - 1) + tf.gather(starts, choice)
    by_value = tf.gather(order, tf.maximum(place, 0))
    balanced = (uniform[2] < balanced_fraction) & (count > 0)
    index = tf.where(balanced, by_value, tf.minimum(evenly, len(latents) - 1))
    rows = {name: tf.gather(value, index) for name, value in arrays.items()}
    rows["focus"] = choice // 2
    if turns == 1:
      return rows
    return {
      name: tf.reshape(value, [batch_size, turns, *value.shape[1:]])
      for name, value in rows.items()
    }

  steps = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max)
  return steps.map(draw, num_parallel_calls=1, deterministic=True).prefetch(4)


def _rows_by_value(attributes):
  """Lists the rows that have an attribute off and on, list 2 * k + value."""
  lists = [
    np.flatnonzero((attributes[:, column] > 0.5) == value)
    for column in range(attributes.shape[1])
    for value in (False, True)
  ]
  counts = np.array([len(rows) for rows in lists], np.int64)
  starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
  return np.concatenate(lists).astype(np.int64), starts, counts


def _mean_and_scale(posterior):
  return posterior.mean(), posterior.stddev()
