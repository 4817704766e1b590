"""Any data set of images that TensorFlow Datasets has: `tfds:NAME`.

Its classes and its booleans become attributes, its images are resized once.
"""

import functools

import numpy as np
import tensorflow_datasets as tfds

from lc_keras.data import images
from lc_keras.data import label_columns
from lc_keras.data import names
from lc_keras.data import preprocessing as preprocessings
from lc_keras.data import stored

_SKIP = tfds.decode.SkipDecoding()


def load(
  name: str,
  data_dir: str,
  *,
  image_size: str = "64",
  crop: str = images.CENTER,
  splits: str = "0.8,0.1,0.1",
) -> stored.Dataset:
  """Returns a data set of TensorFlow Datasets, such as oxford_flowers102.

  Args:
    name: Its name, perhaps with configuration and version.
    data_dir: Folder to download it to; may have its files already.
    image_size: See `names.image_shape`.
    crop: The part of a picture that becomes the image, see `images.box`.
    splits: Shares of train, validation and test; splits that the data set lacks
      are taken from training images.

  Raises:
    ValueError: There is no such data set, or it has no images.
  """
  shape, shares = names.image_shape(image_size), names.shares(splits)
  images.check_crop(crop)
  try:
    builder = tfds.builder(name, data_dir=data_dir)
  except Exception as error:  # tfds and its modules raise several kinds.
    reason = str(error).strip().splitlines()[0]
    raise ValueError(
      f"TensorFlow Datasets cannot open {name!r}: {reason} Its names are on "
      "https://www.tensorflow.org/datasets/catalog."
    ) from error
  features = builder.info.features
  key = next(
    (k for k, one in features.items() if isinstance(one, tfds.features.Image)),
    None,
  )
  if key is None:
    raise ValueError(
      f"{name} of TensorFlow Datasets has no images, but {', '.join(features)}."
    )
  columns, exclusive = _columns(features)

  def examples(split, _):
    try:
      builder.download_and_prepare()
    except Exception as error:  # Networks and tfds fail in many ways.
      reason = str(error).strip().splitlines()[0]
      raise ValueError(
        f"TensorFlow Datasets cannot prepare {name!r} in {data_dir}: {reason} "
        "Mend that, or prepare it there yourself."
      ) from error
    part = _part(builder.info.splits, split, shares)
    read = builder.as_dataset(
      split=part,
      shuffle_files=False,
      decoders={key: _SKIP},
      read_config=tfds.ReadConfig(add_tfds_id=True),
    )
    pictures = (
      (
        example[key],
        np.concatenate([of(example) for of in columns.values()] or [[]]),
        example["tfds_id"].decode(),
      )
      for example in read.as_numpy_iterator()
    )
    return stored.read_pictures(
      pictures, preprocessings.Preprocessing(shape, crop)
    )

  whole = "\n".join([name, str(shape), crop, splits])
  called = label_columns.to_name(name.replace("/", "_").replace(":", "_"))
  return stored.from_examples(
    f"tfds_{called.lower().replace('-', '_')}_{names.digest(whole)}",
    examples,
    image_shape=shape,
    attributes=[one for of in columns for one in of],
    exclusive=exclusive,
    crop=crop,
  )


def _columns(features, prefix=()):
  """Returns {names of attributes: example -> values}, and exclusive groups."""
  columns, exclusive = {}, []
  for key, feature in features.items():
    path = (*prefix, key)
    if isinstance(feature, tfds.features.FeaturesDict):
      more, groups = _columns(feature, path)
      columns |= more
      exclusive += groups
    elif isinstance(feature, tfds.features.ClassLabel):
      own = tuple(map(label_columns.to_name, feature.names or ()))
      if all(one.isdigit() for one in own):
        own = tuple(f"{key}_{number}" for number in range(feature.num_classes))
      columns[own] = functools.partial(_one_hot, path, len(own))
      exclusive.append(own)
    elif feature.shape == () and feature.np_dtype == np.bool_:
      own = (label_columns.to_name(key),)
      columns[own] = functools.partial(_switch, path)
  return columns, exclusive


def _at(example, path):
  for key in path:
    example = example[key]
  return example


def _switch(path, example):
  return [np.float32(_at(example, path))]


def _one_hot(path, count, example):
  """Returns the one-hot row of a class, NaN for an unknown one, below 0."""
  label = _at(example, path)
  return np.full(count, np.nan) if label < 0 else np.eye(count)[label]


def _part(own, split, shares):
  """Returns the tfds split that makes one of ours, perhaps a slice of one."""
  found = {
    ours: next((name for name in own if names.split_named(name) == ours), None)
    for ours in stored.SPLITS
  }
  if found["train"] is None:
    raise ValueError(
      f"The data set has no training split, but {', '.join(own)}."
    )
  if split != "train" and found[split]:
    return found[split]
  # Percentages of the training images, for the missing splits.
  validation, test = (
    0 if found[ours] else max(1, round(100 * share))
    for ours, share in zip(stored.SPLITS[1:], shares[1:])
  )
  first, last = {
    "train": (0, 100 - validation - test),
    "validation": (100 - validation - test, 100 - test),
    "test": (100 - test, 100),
  }[split]
  return f"{found['train']}[{first}%:{last}%]"
