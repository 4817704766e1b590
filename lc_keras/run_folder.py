"""The file `run.json` of a run folder, and what requests of it can name.

Does not load TensorFlow.
"""

import os
from collections.abc import Mapping, Sequence

from lc_keras import files
from lc_keras import preset
from lc_keras import spelling
from lc_keras.constraints import attributes as attribute_names
from lc_keras.learning import constraint_names

ABOUT = preset.ABOUT
_REQUIRED = {"dataset", "image_shape", "attributes", "exclusive", "continuous"}


def read_about(folder: str) -> dict:
  """Returns a folder's `run.json`: "dataset", "image_shape", "attributes" ...

  Raises:
    FileNotFoundError: The folder has no such file.
    ValueError: The file is damaged.
  """
  path = os.path.join(folder, ABOUT)
  if not os.path.exists(path):
    raise FileNotFoundError(missing(folder))
  about = files.read_json(path)
  if not isinstance(about, dict) or not _REQUIRED.issubset(about):
    raise ValueError(
      f"{path} is damaged: it does not have {', '.join(sorted(_REQUIRED))}. "
      "Put back a copy, or make it again."
    )
  return about


def missing(folder: str) -> str:
  """Returns the error message for a folder without `run.json`."""
  fault = f"is no run folder: it has no {ABOUT}."
  if not os.path.exists(folder):
    near = spelling.nearest(folder, preset.presets())
    fault = f"is neither a preset nor a run folder{'; ' if near else '.'}{near}"
  return (
    f"{folder!r} {fault} Give the name of a preset ({preset.names()}), or the "
    "--run_dir that the trainers were given, or a folder that was saved."
  )


def write_about(
  folder: str,
  dataset: str | None,
  attributes: attribute_names.Attributes,
  *,
  image_shape: Sequence[int],
  **more,
) -> None:
  """Writes a folder's `run.json`, see `read_about`.

  Args:
    folder: Created if needed.
    dataset: Name of its data set; None without one.
    attributes: The attributes that the data set labels.
    image_shape: (height, width, channels).
    **more: Further JSON values, such as those of a `Preprocessing`.
  """
  os.makedirs(folder, exist_ok=True)
  files.write_json(
    os.path.join(folder, ABOUT),
    {
      "dataset": dataset,
      "image_shape": list(image_shape),
      "attributes": list(attributes.names),
      "exclusive": [list(group) for group in attributes.exclusive],
      "continuous": list(attributes.continuous),
      **more,
    },
  )


def attributes_of(about: Mapping) -> attribute_names.Attributes:
  """Returns the attributes of a folder's data set, see `read_about`."""
  return attribute_names.Attributes(
    about["attributes"], about["exclusive"], about["continuous"]
  )


def requestable(folder: str) -> attribute_names.Attributes:
  """Returns the attributes of a run, learned constraints included.

  Constraints that `parts.read` would refuse are among them, and all are taken
  for continuous: the models say more.

  Raises:
    FileNotFoundError, ValueError: See `read_about`.
  """
  learned = constraint_names.names(folder)
  return attributes_of(read_about(folder)).extended(learned, learned)
