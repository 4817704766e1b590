"""The pictures of a report: of one system, and of all side by side.

A figure is a caption and a `PIL.Image`; figures are returned by name.
"""

import collections
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from lc_keras import plotting
from lc_keras.evaluation import protocol as protocol_module
from lc_keras.evaluation import systems

Figure = tuple[str, Image.Image]

_SHOWN = 8
_SCALE = 2
# Kinds of exhibits: the label of the first column, and the caption.
_SIDE_BY_SIDE = {
  "samples": (
    "anything",
    "Samples side by side: a column requests one attribute and leaves all "
    "others open; one seed.",
  ),
  "edits": (
    "recon-\nstruction",
    "Edits side by side: one held-out image, with the attribute of the column "
    "switched.",
  ),
}


def of_system(
  protocol: protocol_module.Protocol,
  system: systems.System,
  measured: Mapping,
) -> tuple[dict[str, Figure], dict[str, np.ndarray]]:
  """Draws typical samples and edits of a system, and the worst.

  Args:
    protocol: Holds the held-out images.
    system: Makes images.
    measured: The system's figures, of `protocol.measure`.

  Returns:
    "samples", "failed_samples", "edits" and "failed_edits", where there is
    something to show; and the exhibits of `of_all`, [1 + num_attributes,
    height, width, channels]: "samples", from one seed, without a request and
    with each attribute requested alone; "edits", the reconstruction of one
    held-out image, and each attribute switched alone.
  """
  figures, exhibits = {}, {}
  if system.samples:
    figures["samples"], exhibits["samples"] = _samples(protocol, system)
    if failures := measured["failures"]:
      figures["failed_samples"] = _failed_samples(
        protocol, system, failures[:_SHOWN]
      )
  if system.transforms:
    figures["edits"], exhibits["edits"] = _edits(protocol, system)
    if failures := measured["transformations"]["failures"]:
      figures["failed_edits"] = _failed_edits(
        protocol, system, worst(failures, _SHOWN)
      )
  return figures, exhibits


def of_all(
  protocol: protocol_module.Protocol,
  unchanged: systems.System,
  measured: Mapping[str, Mapping],
  exhibits: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Figure]:
  """Draws systems side by side.

  Args:
    protocol: Holds the held-out images.
    unchanged: The generative model without constraints.
    measured: By name, the figures of `protocol.measure`, and a "title".
    exhibits: By name, the exhibits of `of_system`.
  """
  figures = {}
  if unchanged.reconstructs:
    images = protocol.natural.images[:_SHOWN]
    figures["reconstructions"] = (
      "Held-out images and their reconstructions, which bound all results.",
      plotting.before_after(
        images, protocol.reconstructed(unchanged, images), scale=_SCALE
      ),
    )
  for kind, (first, caption) in _SIDE_BY_SIDE.items():
    rows = {
      one["title"]: exhibits[name][kind]
      for name, one in measured.items()
      if kind in exhibits.get(name, ())
    }
    if rows:
      figures[kind] = (
        caption,
        plotting.grid(
          np.stack(list(rows.values())),
          list(rows),
          [first, *protocol.attributes.names],
          _SCALE,
        ),
      )
  for part, name, draw, caption in (
    (
      "curve",
      "dials",
      dials,
      "Dials: settings at which more edits meet the request also change more "
      "besides. The numbers are the settings.",
    ),
    (
      "sequence",
      "sequences",
      sequences,
      "Sequences of edits, each of the result of the one before, then undone "
      "in turn: the changes that remain are drift.",
    ),
  ):
    if have := {o["title"]: o[part] for o in measured.values() if part in o}:
      figures[name] = caption, draw(have)
  return figures


def worst(failures: Sequence[Mapping], count: int) -> list[Mapping]:
  """Returns the worst failures of each edit in turn, unread ones first.

  Args:
    failures: See `transformations.table`: worst first within an edit.
    count: Largest number to return.
  """
  ranks = collections.Counter()
  order = []
  for place, failure in enumerate(failures):
    edit = failure["attribute"], failure["on"]
    order.append(
      (failure["read"], ranks[edit], -len(failure["changed"]), place)
    )
    ranks[edit] += 1
  return [failures[place] for *_, place in sorted(order)[:count]]


def dials(curves: Mapping[str, Mapping]) -> Image.Image:
  """Plots the success of edits against their side effects, along a dial.

  Args:
    curves: By title of a system, see `Protocol.curve`.
  """
  chart, axes = plotting.panels(2)
  for axis, (lost, label) in zip(
    axes,
    (
      ("others_changed", "edits that change another attribute"),
      ("feature_ratio", "feature distance / that of two images"),
    ),
  ):
    for style, (title, curve) in zip(plotting.styles(), curves.items()):
      points = curve["points"]
      places = list(zip(_column(points, lost), _column(points, "read")))
      axis.plot(*zip(*places), label=f"{title} ({curve['dial']})", **style)
      for point, place in zip(points, places):
        axis.annotate(
          f"{point['setting']:g}",
          place,
          xytext=(3, 3),
          textcoords="offset points",
          fontsize=7,
        )
    axis.set(xlabel=label, ylabel="asked value read", ylim=(-0.02, 1.05))
  chart.legend(*axis.get_legend_handles_labels(), loc="outside right upper")
  return plotting.drawn(chart)


def sequences(states: Mapping[str, Sequence[Mapping]]) -> Image.Image:
  """Plots the changes that remain after edits in sequence, then undone.

  Args:
    states: By title of a system, see `Protocol.sequence`.
  """
  chart, axes = plotting.panels(2)
  edits = max(row["taken_back"] for rows in states.values() for row in rows)
  for axis, (name, label) in zip(
    axes,
    (
      ("others_changed", "images in which an untouched attribute changed"),
      ("feature_distance", "feature distance to the first state"),
    ),
  ):
    for style, (title, rows) in zip(plotting.styles(), states.items()):
      axis.plot(_column(rows, name), label=title, **style)
    axis.axvline(edits, color="grey", linestyle=":")
    axis.set(xlabel=f"edits (from {edits} on: undone)", ylabel=label)
  chart.legend(*axis.get_legend_handles_labels(), loc="outside right upper")
  return plotting.drawn(chart)


def label_curve(points: Sequence[Mapping]) -> Image.Image:
  """Plots quality and cost of learned constraints by number of labels.

  Args:
    points: Of one constraint each: "attribute", "labels", "seconds", and the
      figures "critic" (of `calibration`), "samples" (of
      `scores.attribute_scores`) and "edits" (of `transformations.table`).
  """
  chart, (left, middle, right) = plotting.panels(3)
  attributes = list(dict.fromkeys(point["attribute"] for point in points))
  for style, attribute in zip(plotting.styles(), attributes):
    rows = [point for point in points if point["attribute"] == attribute]
    rows.sort(key=lambda row: row["labels"])
    labels = _column(rows, "labels")
    samples, edits = (
      [row[key] for row in rows] for key in ("samples", "edits")
    )
    critic = [row["critic"]["f1"]["value"] for row in rows]
    left.plot(labels, critic, **style | {"linestyle": ":"})
    left.plot(labels, _column(samples, "macro_f1"), label=attribute, **style)
    left.plot(
      labels, _column(edits, "mean_read"), **style | {"linestyle": "--"}
    )
    middle.plot(labels, _column(edits, "mean_others_changed"), **style)
    right.plot(labels, _column(rows, "seconds"), **style)
  left.set(
    ylabel="F1 of samples (-), edits read (--), F1 of the critic (:)",
    ylim=(-0.02, 1.02),
  )
  middle.set(ylabel="edits that change another attribute", ylim=(0.0, None))
  right.set(ylabel="seconds to learn", ylim=(0.0, None))
  for axis in (left, middle, right):
    axis.set(xlabel="labels", xscale="log")
  chart.legend(*left.get_legend_handles_labels(), loc="outside right upper")
  return plotting.drawn(chart)


def _samples(protocol, system):
  """Draws samples of each attribute alone, from the same seeds."""
  attributes = protocol.attributes
  nothing = np.zeros([1, len(attributes)], np.float32)
  conditions, values, masks = ["anything"], [nothing], [nothing]
  for name in attributes.names:
    for on in (True, False):
      targets, asked = attributes.request(nothing, name, on)
      conditions.append(name if on else f"not {name}")
      values.append(targets)
      masks.append(asked[np.newaxis].astype(np.float32))
  values, masks = (
    np.concatenate(rows).repeat(_SHOWN, axis=0) for rows in (values, masks)
  )
  seeds = np.tile(np.arange(_SHOWN), len(conditions))
  images = system.sample(values, masks, seeds).images
  read = ((protocol.read(images) == (values > 0.5)) | (masks == 0)).all(axis=1)
  shape = [len(conditions), _SHOWN]
  images = images.reshape([*shape, *images.shape[1:]])
  picture = plotting.grid(
    images, conditions, scale=_SCALE, highlight=~read.reshape(shape)
  )
  caption = (
    "Samples: a row for each request, which leaves all other attributes open; "
    "a column for each seed. Framed samples are not read as requested by the "
    "classifier."
  )
  shown = [0, *range(1, len(conditions), 2)]
  return (caption, picture), images[shown, 0]


def _edits(protocol, system):
  """Draws held-out images with each attribute switched alone."""
  attributes = protocol.attributes
  originals = protocol.natural.images[:_SHOWN]
  labels = protocol.natural.labels[:_SHOWN]
  shape = labels.shape
  # Image i, attribute k at i * num_attributes + k.
  images = originals.repeat(len(attributes), axis=0)
  columns = np.tile(np.arange(len(attributes)), len(originals))
  values, mask = protocol.switch(
    labels.repeat(len(attributes), axis=0), columns
  )
  edited = system.transform(
    images, values, mask, protocol.image_seeds(images)
  ).images
  asked = np.arange(len(columns)), columns
  read = protocol.read(edited)[asked] == (values[asked] > 0.5)
  edited = edited.reshape([*shape, *edited.shape[1:]])
  rebuilt = protocol.reconstructed(system, originals)
  picture = plotting.transformations(
    originals,
    rebuilt,
    edited,
    attributes.names,
    labels < 0.5,
    read.reshape(shape),
    scale=_SCALE,
  )
  caption = (
    "Held-out images, each attribute switched alone. Framed edits are not read "
    "as requested by the classifier."
  )
  return (caption, picture), np.concatenate([rebuilt[:1], edited[0]])


def _failed_samples(protocol, system, failures):
  """Draws the samples that miss their requests most."""
  images = protocol.again(system, [failure["row"] for failure in failures])
  labels = [
    "\n".join(
      [f"lacks {name}" for name in failure["missing"]]
      + [f"has {name}" for name in failure["excess"]]
    )
    for failure in failures
  ]
  return (
    "The worst samples: those with the most attributes that the classifier "
    "does not read as requested, which are listed below.",
    plotting.grid(images[np.newaxis], scale=_SCALE, cell_labels=[labels]),
  )


def _failed_edits(protocol, system, failures):
  """Draws the edits that fail, or change most other attributes."""
  rows = [failure["row"] for failure in failures]
  images = protocol.natural.images[rows]
  columns = np.array(
    [protocol.attributes.index(failure["attribute"]) for failure in failures]
  )
  values, mask = protocol.switch(protocol.natural.labels[rows], columns)
  seeds = protocol.image_seeds(images)
  captions = []
  for failure in failures:
    request = f"{'' if failure['on'] else 'no '}{failure['attribute']}"
    result = "read" if failure["read"] else "not read"
    changed = [f"changed: {name}" for name in failure["changed"]]
    captions.append("\n".join([request, result, *changed]))
  return (
    "The worst edits: the requested value is not read, or the most other "
    "attributes changed. The first line above a picture is the request.",
    plotting.before_after(
      protocol.reconstructed(system, images),
      system.transform(images, values, mask, seeds).images,
      ["recon-\nstruction", "edited"],
      captions,
      scale=_SCALE,
    ),
  )


def _column(rows, name):
  """Returns a column of numbers; NaN, which leaves a gap, for None."""
  return np.array([row[name] for row in rows], float)
