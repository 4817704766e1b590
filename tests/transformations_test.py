import numpy as np
from absl.testing import parameterized

from lc_keras.constraints import attributes as attributes_module
from lc_keras.evaluation import transformations

# Images with known answers, 8x16x1: the first row shows the five attributes as
# pixels, the other rows are the person.
_ATTRIBUTES = attributes_module.Attributes(
  ["Bald", "Black", "Blond", "Male", "Hat"], [["Bald", "Black", "Blond"]]
)
_LABELS = np.array(
  [
    [1, 0, 0, 1, 0],
    [0, 1, 0, 0, 0],
    [0, 0, 1, 1, 0],
    [0, 0, 0, 0, 0],
    [0, 1, 0, 1, 0],
    [0, 0, 1, 0, 0],
    [0, 1, 0, 1, 0],
  ],
  np.float32,
)


def _world():
  images = np.random.default_rng(0).random([len(_LABELS), 8, 16, 1]) * 0.9
  images[:, 0, :5, 0] = _LABELS
  return images.astype(np.float32)


def _reconstruct(images):
  return images.copy()


class _Judge:
  """Reads the five pixels; an image is its own features."""

  def probabilities(self, images):
    return images[:, 0, :5, 0]

  def features(self, images):
    return images.reshape(len(images), -1)


def _perfect(images, targets, mask):
  result = images.copy()
  result[:, 0, :5, 0] = np.where(mask, targets, images[:, 0, :5, 0])
  return result


def _clumsy(images, targets, mask):
  """Fulfils requests, but also flips Male if that is not requested."""
  result = _perfect(images, targets, mask)
  result[:, 0, 3, 0] = np.where(
    mask[:, 3], result[:, 0, 3, 0], 1 - result[:, 0, 3, 0]
  )
  return result


def _table(transform, **arguments):
  return transformations.table(
    _world(),
    _LABELS,
    _ATTRIBUTES,
    _Judge(),
    _reconstruct,
    transform,
    **arguments,
  )


def _direction(table, name, on):
  (row,) = [
    row
    for row in table["directions"]
    if (row["attribute"], row["on"]) == (name, on)
  ]
  return row


def _measured(table):
  return [row for row in table["directions"] if row["n"]]


class TableTest(parameterized.TestCase):
  def test_perfect(self):
    table = _table(_perfect)
    self.assertEqual((table["mean_read"], table["min_read"]), (1, 1))
    self.assertEqual(table["mean_others_changed"], 0)
    for row in _measured(table):
      self.assertEqual((row["read"], row["request_read"]), (1, 1))
      self.assertEqual(row["already_read"], 0)
      self.assertEqual(row["changes"][row["attribute"]], 1)
      self.assertGreater(row["feature_distance"], 0)
      self.assertLess(row["feature_ratio"], 1)
    for k, name in enumerate(_ATTRIBUTES.names):
      have = int(_LABELS[:, k].sum())
      self.assertEqual(_direction(table, name, False)["n"], have)
      self.assertEqual(_direction(table, name, True)["n"], 7 - have)

  def test_clumsy(self):
    table = _table(_clumsy)
    for row in _measured(table):
      own = row["attribute"] == "Male"
      self.assertEqual(row["read"], 1)
      self.assertEqual(row["others_changed"], 0 if own else 1)
      self.assertEqual(row["changes"]["Male"], 1)
      self.assertEqual(row["changes"]["Hat"], float(row["attribute"] == "Hat"))
    # Of the four other attributes, Male changes; for one of three exclusive
    # attributes, only two others remain.
    for name, share in (("Hat", 1 / 4), ("Bald", 1 / 2)):
      row = _direction(table, name, True)
      self.assertEqual(row["each_other_changed"], share)
    bare = _table(_clumsy, resamples=0)
    self.assertNotIn("intervals", bare)
    self.assertNotIn("intervals", bare["directions"][0])
    self.assertEqual(table["mean_read"], bare["mean_read"])

  def test_an_edit_that_is_ignored(self):
    def forgets_hats(images, targets, mask):
      mask = mask.copy()
      mask[:, 4] = 0
      return _perfect(images, targets, mask)

    table = _table(forgets_hats)
    self.assertEqual(table["min_read"], 0)
    self.assertEqual(
      table["min_read_direction"], {"attribute": "Hat", "on": True}
    )
    hats = _direction(table, "Hat", True)
    self.assertEqual((hats["feature_ratio"], hats["others_changed"]), (0, 0))

  def test_what_a_request_rules_out_belongs_to_it(self):
    # Four of five that are not blond have another colour or are bald, which
    # changes.
    row = _direction(_table(_perfect), "Blond", True)
    self.assertEqual((row["n"], row["others_changed"]), (5, 0))
    self.assertAlmostEqual(row["others_changed_strict"], 4 / 5)
    self.assertAlmostEqual(row["changes"]["Black"], 3 / 5)

  def test_leaving_what_is_ruled_out_shows(self):
    def greedy(images, targets, mask):
      return np.maximum(images, _perfect(images, targets, mask))

    row = _direction(_table(greedy), "Blond", True)
    self.assertEqual(row["read"], 1)
    self.assertAlmostEqual(row["request_read"], 1 / 5)

  def test_direction_without_rows_is_listed_as_null(self):
    row = _direction(_table(_perfect), "Hat", False)
    self.assertEqual(row.pop("n"), 0)
    self.assertEqual((row.pop("attribute"), row.pop("on")), ("Hat", False))
    self.assertEqual(set(row.values()), {None})
    self.assertEqual(
      set(row) | {"n", "attribute", "on"},
      set(_direction(_table(_perfect), "Hat", True)),
    )

  def test_compares_with_the_reconstruction_not_with_the_image(self):
    def forgets_male(images):
      result = images.copy()
      result[:, 0, 3, 0] = 0
      return result

    table = transformations.table(
      _world(),
      _LABELS,
      _ATTRIBUTES,
      _Judge(),
      forgets_male,
      lambda images, *request: _perfect(forgets_male(images), *request),
    )
    self.assertEqual(table["mean_others_changed"], 0)
    self.assertEqual(_direction(table, "Male", False)["already_read"], 1)

  @parameterized.parameters(1, 2, 3, 100)
  def test_batches_do_not_change_the_numbers(self, batch_size):
    seen = []

    def transform(images, targets, mask):
      seen.append(len(images))
      self.assertEqual(mask.shape, targets.shape)
      return _clumsy(images, targets, mask)

    table = _table(transform, batch_size=batch_size)
    self.assertEqual(table, _table(_clumsy))
    self.assertLessEqual(max(seen), batch_size)

  def test_rows_bound_the_work_and_the_seed_draws_them(self):
    drawn = {}

    def transform(images, targets, mask):
      drawn.setdefault(seed, []).append(images)
      return _perfect(images, targets, mask)

    for seed in (0, 1, 0):
      table = _table(transform, rows=2, seed=seed)
      self.assertEqual(max(row["n"] for row in table["directions"]), 2)
    first, again = np.split(np.concatenate(drawn[0]), 2)
    np.testing.assert_array_equal(first, again)
    self.assertFalse(np.array_equal(first, np.concatenate(drawn[1])))

  def test_distances_are_of_features(self):
    table = _table(_perfect)
    # Each row that is switched moves exactly one pixel by one.
    self.assertAlmostEqual(
      _direction(table, "Male", True)["feature_distance"], 1, places=6
    )
    features = _Judge().features(_world())
    pairs = np.linalg.norm(features[:, None] - features, axis=-1)
    pairs = pairs[~np.eye(len(pairs), dtype=bool)]
    self.assertBetween(table["feature_scale"], pairs.min(), pairs.max())

  def test_refuses_labels_of_other_images(self):
    with self.assertRaisesRegex(ValueError, "labels"):
      transformations.table(
        _world(), _LABELS[:3], _ATTRIBUTES, _Judge(), _reconstruct, _perfect
      )

  def test_measures_of_the_sampler_are_averaged(self):
    def measured(images, targets, mask):
      measures = {
        "steps": mask.sum(axis=1) * 2,
        "converged": targets[:, 3] > 0.5,
      }
      return _perfect(images, targets, mask), measures

    table = _table(measured, batch_size=2)
    row = _direction(table, "Male", True)
    self.assertEqual((row["steps"], row["converged"]), (2, 1))
    self.assertEqual(_direction(table, "Blond", True)["steps"], 6)
    self.assertEqual(
      table["mean_steps"], np.mean([r["steps"] for r in _measured(table)])
    )
    # The interval of a share has a width, that of one number's mean has none.
    self.assertLess(row["intervals"]["converged"][0], 1)
    self.assertEqual(row["intervals"]["steps"], [2, 2])
    self.assertIsNone(_direction(table, "Hat", False)["steps"])
    plain = _table(_perfect)
    self.assertEqual(row["read"], _direction(plain, "Male", True)["read"])

  def test_an_image_is_resampled_with_all_its_edits(self):
    # The success of an edit depends on the image only: the interval of the
    # average is as wide as for one edit per image, not for 5 times as many.
    images = np.zeros([40, 8, 16, 1], np.float32)
    obedient = np.arange(40) % 2 == 0
    images[:, 7, :, 0] = obedient[:, None]

    def transform(images, targets, mask):
      obeys = images[:, 7, :1] > 0.5
      return np.where(obeys[:, None], _perfect(images, targets, mask), images)

    table = transformations.table(
      images,
      np.zeros([40, 5]),
      _ATTRIBUTES,
      _Judge(),
      _reconstruct,
      transform,
    )
    low, high = table["intervals"]["mean_read"]
    width = 2 * 1.96 * np.sqrt(0.25 / 40)
    self.assertBetween(high - low, 0.8 * width, 1.2 * width)

  def test_failures_are_listed_worst_first(self):
    def transform(images, targets, mask):
      result = _perfect(images, targets, mask)
      result[0] = images[0]  # Not read.
      result[1:2, 0, 3:5] = 1 - result[1:2, 0, 3:5]  # Two others changed,
      result[2:3, 0, 4] = 1 - result[2:3, 0, 4]  # one other changed.
      return result

    table = _table(transform)
    found = [
      (failure["row"], failure["read"], failure["changed"])
      for failure in table["failures"]
      if (failure["attribute"], failure["on"]) == ("Black", True)
    ]
    # Switched on in all but 1, 4 and 6.
    self.assertEqual(
      found, [(0, False, []), (2, True, ["Male", "Hat"]), (3, True, ["Hat"])]
    )
    bounded = _table(transform, failures=1)["failures"]
    self.assertEqual(bounded[0], table["failures"][0])
    self.assertLen(bounded, len(_measured(table)))
    self.assertEmpty(_table(_perfect)["failures"])
