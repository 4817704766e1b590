"""Transformations of held-out images: is what was asked done, and only that?

Every attribute is switched on where a held-out image lacks it, and off where
it has it, one at a time. The pixel classifier then says whether the asked
value is there and what else changed; a distance in its feature space says how
far the image moved. The models are given as functions of numpy arrays.
"""

from collections.abc import Callable

import numpy as np

# Images [n, height, width, channels] to [n, ...]: images, probabilities or
# features.
ImageFunction = Callable[[np.ndarray], np.ndarray]
# Images, targets [n, K] and mask of what is asked for [n, K], to images.
Transform = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def table(
  images: np.ndarray,
  labels: np.ndarray,
  attributes,
  reconstruct: ImageFunction,
  transform: Transform,
  classify: ImageFunction,
  features: ImageFunction,
  rows: int = 256,
  batch_size: int = 128,
  threshold: float = 0.5,
  seed: int = 0,
) -> dict:
  """Switches each attribute on and off alone and measures what happens.

  Everything is compared with the reconstruction, not with the image: what the
  generative model loses is not the transformation's doing. What a request
  itself rules out (asked to be blond, black hair has to go) is part of it:
  `attributes.request` says what that is.

  Args:
    images: [n, height, width, channels], held out.
    labels: [n, K] in {0, 1}: which rows an attribute can be switched on or off
      in.
    attributes: An `attributes.Attributes` of K names.
    reconstruct: Images to images, without any request.
    transform: Images, targets [batch, K] and mask [batch, K] (float32, 1 for
      what the request is about) to images.
    classify: Images to probabilities [batch, K].
    features: Images to [batch, d].
    rows: At most so many rows for each direction, drawn at random.
    batch_size: Rows handed to the functions at a time.
    threshold: A probability above it reads as "on".
    seed: Of the draw of rows.

  Returns:
    "directions", a list with, for each attribute "on" and "off":
      "attribute"; "on" (bool); "n" rows;
      "read": Share of rows where the asked value is read;
      "already_read": The same share for the reconstructions;
      "request_read": Share where it and all that it rules out is read;
      "others_changed": Share where any attribute reads otherwise than in the
        reconstruction, those that the request is about left out;
      "others_changed_strict": The same, only the switched one left out;
      "changes": Share of rows in which each attribute reads otherwise;
      "feature_distance": Mean L2 distance of features to the reconstruction's;
      "feature_ratio": That, divided by "feature_scale".
    With no row to switch, n is 0 and each of these is None.
    "feature_scale": Mean L2 distance between reconstructions of two different
      rows; None where there are fewer than two.
    "mean_read", "mean_others_changed", "mean_others_changed_strict" and
      "mean_feature_ratio": Averages over the directions with rows.
    "min_read" and "min_read_direction" ({"attribute", "on"}): The worst.
    "rows", "threshold" and "seed": As given.

  Raises:
    ValueError: Shapes disagree, or a function returns another shape.
  """
  images, labels = _checked(images, labels, attributes)
  if rows < 1 or batch_size < 1:
    raise ValueError(
      f"rows and batch_size must be positive, got {rows} and {batch_size}."
    )
  chosen = {}
  for k, on in _directions(attributes):
    candidates = np.flatnonzero((labels[:, k] > 0.5) != on)
    # One generator a direction: its rows do not depend on other directions.
    draw = np.random.default_rng([seed, k, int(on)])
    picked = draw.permutation(candidates)[:rows]
    chosen[k, on] = np.sort(picked)
  used = np.unique(np.concatenate([*chosen.values()]))

  def read(batch):
    probabilities = np.asarray(classify(batch))
    _check_shape("classify", probabilities, (len(batch), len(attributes.names)))
    values = np.asarray(features(batch), np.float32)
    _check_shape("features", values, (len(batch), values.shape[-1]))
    return probabilities > threshold, values

  def rebuilt(part):
    return read(_images("reconstruct", reconstruct(images[part]), images, part))

  before = _batched(rebuilt, used, batch_size)
  position = {row: index for index, row in enumerate(used)}
  scale = _feature_scale(before[1], seed)

  directions = []
  for k, on in _directions(attributes):
    part = chosen[k, on]
    name = attributes.names[k]
    targets, asked = attributes.request(labels[part], name, on)
    mask = np.tile(asked.astype(np.float32), [len(part), 1])

    def edited(batch, part=part, targets=targets, mask=mask):
      inside = part[batch]
      result = transform(images[inside], targets[batch], mask[batch])
      return read(_images("transform", result, images, inside))

    row = {"attribute": name, "on": on, "n": len(part)}
    if len(part):
      after = _batched(edited, np.arange(len(part)), batch_size)
      own = [position[index] for index in part]
      reference = before[0][own], before[1][own]
      row |= _measures(k, reference, after, targets, asked, attributes.names)
      distance = row["feature_distance"]
      row["feature_ratio"] = distance / scale if scale else None
    else:
      row |= dict.fromkeys(_MEASURES)
    directions.append(row)
  return {
    "rows": rows,
    "threshold": threshold,
    "seed": seed,
    "directions": directions,
    "feature_scale": scale,
    **_summary(directions),
  }


def sheet(
  images: np.ndarray,
  labels: np.ndarray,
  attributes,
  reconstruct: ImageFunction,
  transform: Transform,
  classify: ImageFunction,
  threshold: float = 0.5,
) -> dict:
  """Switches every attribute of a few images, to be looked at.

  Args:
    images: [n, height, width, channels]; n of them are handed over at a time.
    labels: [n, K] in {0, 1}.
    attributes: An `attributes.Attributes` of K names.
    reconstruct: As for `table`; so are the next three.
    transform: Images, targets and mask to images.
    classify: Images to probabilities.
    threshold: A probability above it reads as "on".

  Returns:
    What `pictures.transformations` takes: "originals", "reconstructions",
    "switched" [n, K, height, width, channels], "names", "on" [n, K] and "read"
    [n, K].
  """
  images, labels = _checked(images, labels, attributes)
  everyone = np.arange(len(images))
  rebuilt = _images("reconstruct", reconstruct(images), images, everyone)
  num_attributes = len(attributes.names)
  switched = np.zeros([len(images), num_attributes, *images.shape[1:]], "f")
  read = np.zeros([len(images), num_attributes], bool)
  for k, on in _directions(attributes):
    part = np.flatnonzero((labels[:, k] > 0.5) != on)
    if not len(part):
      continue
    targets, asked = attributes.request(labels[part], attributes.names[k], on)
    mask = np.tile(asked.astype(np.float32), [len(part), 1])
    edited = transform(images[part], targets, mask)
    edited = _images("transform", edited, images, part)
    switched[part, k] = edited
    probabilities = np.asarray(classify(edited))
    _check_shape("classify", probabilities, (len(part), num_attributes))
    read[part, k] = (probabilities[:, k] > threshold) == on
  return {
    "originals": images,
    "reconstructions": rebuilt,
    "switched": switched,
    "names": attributes.names,
    "on": labels < 0.5,
    "read": read,
  }


_MEASURES = (
  "read",
  "already_read",
  "request_read",
  "others_changed",
  "others_changed_strict",
  "changes",
  "feature_distance",
  "feature_ratio",
)


def _directions(attributes):
  """Returns (column, on) of every attribute, first on, then off."""
  return [(k, on) for k in range(len(attributes.names)) for on in (True, False)]


def _measures(k, before, after, targets, asked, names):
  """Compares (readings [n, K], features [n, d]) before and after."""
  changed = before[0] != after[0]
  wanted = targets > 0.5
  right = after[0] == wanted
  alone = np.arange(len(names)) == k
  distances = np.linalg.norm(after[1] - before[1], axis=1)
  return {
    "read": float(right[:, k].mean()),
    "already_read": float((before[0] == wanted)[:, k].mean()),
    "request_read": float(right[:, asked].all(axis=1).mean()),
    "others_changed": float(changed[:, ~asked].any(axis=1).mean()),
    "others_changed_strict": float(changed[:, ~alone].any(axis=1).mean()),
    "changes": dict(zip(names, changed.mean(axis=0).tolist())),
    "feature_distance": float(distances.mean(dtype=np.float64)),
  }


def _summary(directions):
  """Averages over the directions that have rows, and the worst of them."""
  measured = [row for row in directions if row["n"]]
  result = {}
  for name in (
    "read",
    "others_changed",
    "others_changed_strict",
    "feature_ratio",
  ):
    values = [row[name] for row in measured if row[name] is not None]
    result[f"mean_{name}"] = float(np.mean(values)) if values else None
  worst = min(measured, key=lambda row: row["read"], default=None)
  result["min_read"] = worst and worst["read"]
  result["min_read_direction"] = worst and {
    "attribute": worst["attribute"],
    "on": worst["on"],
  }
  return result


def _feature_scale(values, seed):
  """Returns the mean L2 distance between random pairs of different rows."""
  if len(values) < 2:
    return None
  order = np.random.default_rng(seed).permutation(len(values))
  # Each against the next in a random circle: never a row against itself.
  pairs = values[order] - values[np.roll(order, 1)]
  return float(np.linalg.norm(pairs, axis=1).mean(dtype=np.float64))


def _batched(function, rows, batch_size):
  """Applies a function of row numbers in batches; joins its two results."""
  parts = [
    function(rows[start : start + batch_size])
    for start in range(0, len(rows), batch_size)
  ]
  return tuple(np.concatenate(results) for results in zip(*parts))


def _checked(images, labels, attributes):
  """Returns images and labels as arrays, or raises ValueError."""
  images, labels = np.asarray(images), np.asarray(labels)
  shape = (len(images), len(attributes.names))
  if images.ndim != 4 or not len(images) or labels.shape != shape:
    raise ValueError(
      "images must have shape [n, height, width, channels], n at least 1, and "
      f"labels [n, {shape[1]}], got {list(images.shape)} and "
      f"{list(labels.shape)}."
    )
  return images, labels


def _images(name, result, images, part):
  """Checks that a function kept the images' shape; returns an array."""
  result = np.asarray(result)
  _check_shape(name, result, (len(part), *images.shape[1:]))
  return result


def _check_shape(name, array, shape):
  if array.shape != shape:
    raise ValueError(
      f"{name} should have returned shape {list(shape)}, got "
      f"{list(array.shape)}."
    )
