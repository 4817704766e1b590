"""What a system makes, to be looked at: the usual, the worst, side by side."""

import collections
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from lc_keras import plotting
from lc_keras.evaluation import protocol as protocol_lib
from lc_keras.evaluation import systems

# A caption and a picture.
Figure = tuple[str, Image.Image]

_SHOWN = 8
_SCALE = 2


class Gallery(NamedTuple):
  """Pictures of one system.

  Attributes:
    figures: By kind: "samples", "failed_samples", "edits" and "failed_edits",
      where there is something to show.
    images: What `side_by_side` takes, [1 + num_attributes, height, width,
      channels]: "samples", from one seed, with nothing asked and with each
      attribute asked for alone; "edits", the reconstruction of one held-out
      image, and each attribute switched alone.
  """

  figures: Mapping[str, Figure]
  images: Mapping[str, np.ndarray]


def draw(
  protocol: protocol_lib.Protocol,
  system: systems.System,
  sample_failures: Sequence[Mapping] = (),
  edit_failures: Sequence[Mapping] = (),
) -> Gallery:
  """Draws what a system makes.

  Args:
    protocol: Holds the held-out images.
    system: Makes images.
    sample_failures: See `Protocol.samples`.
    edit_failures: See `transformations.table`.
  """
  figures, images = {}, {}
  if system.samples:
    figures["samples"], images["samples"] = _samples(protocol, system)
    if sample_failures:
      figures["failed_samples"] = _failed_samples(
        protocol, system, sample_failures[:_SHOWN]
      )
  if system.transforms:
    figures["edits"], images["edits"] = _edits(protocol, system)
    if edit_failures:
      figures["failed_edits"] = _failed_edits(
        protocol, system, worst(edit_failures, _SHOWN)
      )
  return Gallery(figures, images)


def worst(failures: Sequence[Mapping], count: int) -> list[Mapping]:
  """Returns the worst of each edit in turn, those that are not read first.

  Args:
    failures: See `transformations.table`.
    count: At most so many.
  """
  ranks = collections.Counter()
  order = []
  for failure in failures:
    edit = failure["attribute"], failure["on"]
    # Within an edit, failures are sorted from the worst on.
    order.append((failure["read"], ranks[edit], -len(failure["changed"])))
    ranks[edit] += 1
  places = sorted(range(len(failures)), key=order.__getitem__)
  return [failures[place] for place in places[:count]]


def side_by_side(
  images: Mapping[str, np.ndarray],
  column_labels: Sequence[str],
) -> Image.Image:
  """Shows the same requests put to several systems.

  Args:
    images: [columns, height, width, channels] by title of a row.
    column_labels: One a column.
  """
  return plotting.grid(
    np.stack(list(images.values())), list(images), column_labels, scale=_SCALE
  )


def _samples(protocol, system):
  """Draws what the same seeds become under each attribute alone."""
  attributes = protocol.attributes
  nothing = np.zeros([1, len(attributes)], np.float32)
  conditions, values, masks = ["anything"], [nothing], [nothing]
  for name in attributes.names:
    for on in (True, False):
      wanted, asked = attributes.request(nothing, name, on)
      conditions.append(name if on else f"not {name}")
      values.append(wanted)
      masks.append(asked[np.newaxis].astype(np.float32))
  values, masks = (
    np.concatenate(rows).repeat(_SHOWN, axis=0) for rows in (values, masks)
  )
  seeds = np.tile(np.arange(_SHOWN), len(conditions))
  images = system.sample(values, masks, seeds).images
  on = protocol.judge.probabilities(images) > protocol.threshold
  read = ((on == (values > 0.5)) | (masks == 0)).all(axis=1)
  shape = [len(conditions), _SHOWN]
  images = images.reshape([*shape, *images.shape[1:]])
  picture = plotting.conditional_samples(
    images, conditions, read.reshape(shape), scale=_SCALE
  )
  caption = (
    "Samples. A row is a request that leaves all else open, a column a seed. A "
    "frame marks what the classifier does not read as asked."
  )
  shown = [0, *range(1, len(conditions), 2)]
  return (caption, picture), images[shown, 0]


def _edits(protocol, system):
  """Draws held-out images with each attribute switched alone."""
  split, attributes = protocol.natural.first(_SHOWN), protocol.attributes
  count, num_attributes = split.labels.shape
  # Image i, attribute k at i * num_attributes + k.
  images = split.images.repeat(num_attributes, axis=0)
  labels = split.labels.repeat(num_attributes, axis=0)
  columns = np.tile(np.arange(num_attributes), count)
  values, mask = protocol.switch(labels, columns)
  edited = system.transform(
    images, values, mask, protocol.image_seeds(images)
  ).images
  on = protocol.judge.probabilities(edited) > protocol.threshold
  asked = np.arange(len(columns)), columns
  read = on[asked] == (values[asked] > 0.5)
  shape = [count, num_attributes]
  edited = edited.reshape([*shape, *edited.shape[1:]])
  seeds = protocol.image_seeds(split.images)
  rebuilt = system.reconstruct(split.images, seeds).images
  picture = plotting.transformations(
    split.images,
    rebuilt,
    edited,
    attributes.names,
    split.labels < 0.5,
    read.reshape(shape),
    scale=_SCALE,
  )
  caption = (
    "Held-out images, each attribute switched alone. A frame marks what the "
    "classifier does not read as asked."
  )
  return (caption, picture), np.concatenate([rebuilt[:1], edited[0]])


def _failed_samples(protocol, system, failures):
  """Draws the samples that show least of what was asked."""
  images = protocol.again(system, [failure["row"] for failure in failures])
  labels = [
    "\n".join(
      [f"lacks {name}" for name in failure["missing"]]
      + [f"has {name}" for name in failure["excess"]]
    )
    for failure in failures
  ]
  picture = plotting.grid(
    images[np.newaxis],
    scale=_SCALE,
    cell_labels=np.array([labels], object),
  )
  caption = (
    "The worst samples: those in which the classifier reads most attributes "
    "otherwise than asked, and which."
  )
  return caption, picture


def _failed_edits(protocol, system, failures):
  """Draws the edits that did least of what was asked, and most else."""
  rows = [failure["row"] for failure in failures]
  images = protocol.natural.images[rows]
  columns = np.array(
    [protocol.attributes.index(failure["attribute"]) for failure in failures]
  )
  values, mask = protocol.switch(protocol.natural.labels[rows], columns)
  seeds = protocol.image_seeds(images)
  edited = system.transform(images, values, mask, seeds).images
  captions = []
  for failure in failures:
    wish = (
      failure["attribute"] if failure["on"] else f"no {failure['attribute']}"
    )
    result = "read" if failure["read"] else "not read"
    changed = [f"changed: {name}" for name in failure["changed"]]
    captions.append("\n".join([wish, result, *changed]))
  picture = plotting.before_after(
    system.reconstruct(images, seeds).images,
    edited,
    ["recon-\nstruction", "edited"],
    captions,
    scale=_SCALE,
  )
  caption = (
    "The worst edits: what was asked is not read, or most else changed. The "
    "first line above a picture is what was asked."
  )
  return caption, picture
