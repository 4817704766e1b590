"""Transformations of held-out images: their success, and their side effects.

Every attribute is switched on where a held-out image lacks it, and off where it
has it, one at a time. The pixel classifier then reads whether the requested
value is there and what else changed; a distance in its feature space tells how
far the image moved. The models are given as functions of numpy arrays.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lc_keras.evaluation import intervals

# Images [n, height, width, channels], and measures of each by name, numbers or
# booleans [n], such as "distance", "converged" and "steps". The names are the
# same in every call, and other than those of `table`.
Made = tuple[np.ndarray, Mapping[str, np.ndarray]]


def table(
  images: np.ndarray,
  labels: np.ndarray,
  attributes,
  judge,
  reconstruct: Callable[[np.ndarray], np.ndarray],
  transform: Callable[[np.ndarray, np.ndarray, np.ndarray], Made | np.ndarray],
  rows: int = 256,
  batch_size: int = 128,
  threshold: float = 0.5,
  seed: int = 0,
  failures: int = 4,
  resamples: int = intervals.RESAMPLES,
  switched: Sequence[str] | None = None,
) -> dict:
  """Switches each attribute on and off alone and measures the effects.

  Everything is compared with the reconstruction, not with the image, so that
  losses of the generative model do not count. Attributes that exclude the
  switched one belong to the request: for blond hair, black hair must go, and
  hair that is no longer blond needs another colour.

  Args:
    images: [n, height, width, channels], held out.
    labels: [n, K] in {0, 1}: attributes are switched on in rows with 0, and off
      in rows with 1.
    attributes: An `attributes.Attributes` of K names.
    judge: Reads images; its `probabilities` and `features` map images to
      [batch, K] and [batch, d], as those of `judge.Judge` do.
    reconstruct: Maps images to images, without any request.
    transform: Maps images, targets [batch, K] and mask [batch, K] (float32, 1
      for requested attributes) to images, or to images and measures.
    rows: Most rows for each direction, drawn at random.
    batch_size: Rows in a call of the functions.
    threshold: A probability above it reads as "on".
    seed: Seed of the draw of rows, and of the resamples.
    failures: Most failures to list for each direction.
    resamples: Resamples of the bootstrap; 0 leaves all intervals out.
    switched: Names of the attributes to switch; None switches all.

  Returns:
    "directions", a list with, for each attribute "on" and "off":
      "attribute"; "on" (bool); "n" rows;
      "read": Share of rows where the requested value is read;
      "already_read": The same share for the reconstructions;
      "request_read": Share where all values of the request are read;
      "others_changed": Share where any attribute except the switched one and
        those that exclude it reads otherwise than in the reconstruction;
      "others_changed_strict": The same, for all but the switched one;
      "each_other_changed": Share of attributes that read otherwise, of those in
        "others_changed", averaged over rows;
      "feature_distance": Mean L2 distance of features to the reconstruction's;
      "feature_ratio": That, divided by "feature_scale";
      the mean of each measure of `transform`, under its name;
      "intervals": The 95% interval [low, high] of each of the above, Wilson's
        for shares of rows and the bootstrap's for other means;
      "changes": Share of rows in which each attribute reads otherwise.
    With no row to switch, n is 0 and each of these is None.
    "feature_scale": Mean L2 distance between reconstructions of two different
      rows; NaN, as are the ratios, where there are fewer than two.
    "mean_read" and so on, for each figure with an interval: Averages over the
      directions with rows.
    "intervals": The 95% bootstrap interval of each of these averages. Images
      are resampled, not edits: one image serves many directions.
    "min_read" and "min_read_direction" ({"attribute", "on"}): The lowest.
    "failures": A list of edits where the requested value is not read or another
      attribute changed: of each direction first those not read, then those with
      most changes. "attribute"; "on"; "row", an index of `images`; "read"
      (bool); "changed", names of the others that changed.
    "rows", "threshold" and "seed": As given.

  Raises:
    ValueError: The shapes of images and labels disagree.
  """
  images, labels = np.asarray(images), np.asarray(labels)
  shape = (len(images), len(attributes.names))
  if images.ndim != 4 or not len(images) or labels.shape != shape:
    raise ValueError(
      "images must have shape [n, height, width, channels], n at least 1, and "
      f"labels [n, {shape[1]}], got {list(images.shape)} and "
      f"{list(labels.shape)}."
    )
  chosen = {}
  for k, on in _directions(attributes, switched):
    candidates = np.flatnonzero((labels[:, k] > 0.5) != on)
    # One generator a direction: its rows do not depend on other directions.
    draw = np.random.default_rng([seed, k, int(on)])
    picked = draw.permutation(candidates)[:rows]
    chosen[k, on] = np.sort(picked)
  used = np.unique(np.concatenate([*chosen.values()]))

  def read(made):
    return {
      "readings": judge.probabilities(made) > threshold,
      "features": np.asarray(judge.features(made), np.float32),
    }

  def rebuilt(part):
    return read(reconstruct(images[part]))

  before = _batched(rebuilt, used, batch_size)
  scale = _feature_scale(before["features"], seed)

  directions, edits, failed = [], [], []
  for (k, on), part in chosen.items():
    row = {"attribute": attributes.names[k], "on": on, "n": len(part)}
    directions.append(row)
    if not len(part):
      continue
    targets, asked = attributes.request(labels[part], row["attribute"], on)
    mask = np.tile(asked.astype(np.float32), [len(part), 1])

    def edited(batch, part=part, targets=targets, mask=mask):
      inside = part[batch]
      made = transform(images[inside], targets[batch], mask[batch])
      made, measures = made if isinstance(made, tuple) else (made, {})
      return {**measures, **read(made)}

    own = np.searchsorted(used, part)
    reference = {key: array[own] for key, array in before.items()}
    after = _batched(edited, np.arange(len(part)), batch_size)
    # Hair that is no longer blond needs another colour.
    about = asked | (attributes.excludes[k] > 0)
    values, changed = _values(k, reference, after, targets, asked, about, scale)
    row |= {key: float(np.mean(value)) for key, value in values.items()}
    row["changes"] = dict(zip(attributes.names, changed.mean(axis=0).tolist()))
    edits.append((row, own, values))
    for index in _worst(values["read"], changed & ~about)[:failures]:
      others = np.flatnonzero(changed[index] & ~about)
      failed.append(
        {
          "attribute": row["attribute"],
          "on": on,
          "row": int(part[index]),
          "read": bool(values["read"][index]),
          "changed": [attributes.names[other] for other in others],
        }
      )

  result = {
    "rows": rows,
    "threshold": threshold,
    "seed": seed,
    "directions": directions,
    "feature_scale": scale,
    "failures": failed,
    **_averages(edits),
  }
  if resamples:
    weights = intervals.weights(len(used), resamples, seed)
    result["intervals"] = _add_intervals(edits, weights)
  # A direction without rows has the same keys.
  for row in directions:
    row |= {key: row.get(key) for key in edits[0][0]}
  return result


def _directions(attributes, switched):
  """Returns (column, on) of each edit, first on, then off."""
  columns = map(attributes.index, switched or attributes.names)
  return [(k, on) for k in columns for on in (True, False)]


def _values(k, before, after, targets, asked, about, scale):
  """Compares before and after.

  Returns:
    Measures that are averaged over rows, [n] by name; and which attributes
    read otherwise, booleans [n, K].
  """
  changed = before["readings"] != after["readings"]
  wanted = targets > 0.5
  right = after["readings"] == wanted
  alone = np.arange(len(asked)) == k
  distances = np.linalg.norm(after["features"] - before["features"], axis=1)
  return {
    "read": right[:, k],
    "already_read": (before["readings"] == wanted)[:, k],
    "request_read": right[:, asked].all(axis=1),
    "others_changed": changed[:, ~about].any(axis=1),
    "others_changed_strict": changed[:, ~alone].any(axis=1),
    "each_other_changed": changed[:, ~about].sum(axis=1)
    / max(np.sum(~about), 1),
    "feature_distance": distances.astype(np.float64),
    "feature_ratio": distances / (scale or np.nan),
    **{key: after[key] for key in after if key not in before},
  }, changed


def _worst(read, changed):
  """Returns the failed rows: first unread ones, then those of most changes."""
  count = changed.sum(axis=1)
  order = np.lexsort((-count, read))
  return order[~read[order] | (count[order] > 0)]


def _averages(edits):
  """Averages over directions, and the worst of them."""
  worst = min((row for row, _, _ in edits), key=lambda row: row["read"])
  return {
    **{
      f"mean_{key}": float(np.mean([row[key] for row, _, _ in edits]))
      for key in edits[0][2]
    },
    "min_read": worst["read"],
    "min_read_direction": {key: worst[key] for key in ("attribute", "on")},
  }


def _add_intervals(edits, weights):
  """Adds its intervals to each direction; returns those of the averages.

  Args:
    edits: Rows of the table, the columns of `weights` that each is made of,
      and the values behind it.
    weights: [resamples, images].
  """
  resampled = {key: [] for key in edits[0][2]}
  for row, own, values in edits:
    row["intervals"] = {}
    for key, value in values.items():
      means = intervals.means(value, weights[:, own])
      resampled[key].append(means)
      row["intervals"][key] = (
        intervals.share(value)
        if value.dtype == bool
        else intervals.percentile(means)
      )
  return {
    f"mean_{key}": intervals.percentile(np.nanmean(means, axis=0))
    for key, means in resampled.items()
  }


def _feature_scale(values, seed):
  """Returns the mean L2 distance between random pairs of different rows."""
  if len(values) < 2:
    return float("nan")
  order = np.random.default_rng(seed).permutation(len(values))
  # Each against the next in a random circle: never a row against itself.
  pairs = values[order] - values[np.roll(order, 1)]
  return float(np.linalg.norm(pairs, axis=1).mean(dtype=np.float64))


def _batched(function, rows, batch_size):
  """Applies a function of row numbers in batches; joins what it maps to."""
  parts = [
    function(rows[start : start + batch_size])
    for start in range(0, len(rows), batch_size)
  ]
  return {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
