import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from sklearn import metrics

from lc_keras.evaluation import intervals
from lc_keras.evaluation import scores

_NAMES = ("Bald", "Male", "Smiling", "Young", "Hat")


def _random(seed, rows=40):
  generator = np.random.default_rng(seed)
  rates = np.array([0.1, 0.3, 0.5, 0.8, 0.2])
  labels = (generator.random([rows, 5]) < rates).astype(np.float32)
  return generator.random([rows, 5]), labels


class AttributeScoresTest(parameterized.TestCase):
  @parameterized.parameters(range(5))
  def test_agrees_with_counting(self, seed):
    probabilities, labels = _random(seed)
    result = scores.attribute_scores(probabilities, labels, _NAMES, 0.4)
    read, wanted = probabilities > 0.4, labels == 1
    f1s, supports = [], []
    for k, name in enumerate(_NAMES):
      hits = np.sum(read[:, k] & wanted[:, k])
      precision = hits / max(read[:, k].sum(), 1)
      recall = hits / max(wanted[:, k].sum(), 1)
      f1 = 2 * hits / max(read[:, k].sum() + wanted[:, k].sum(), 1)
      own = result["attributes"][name]
      self.assertAlmostEqual(own["precision"], precision)
      self.assertAlmostEqual(own["recall"], recall)
      self.assertAlmostEqual(own["f1"], f1)
      self.assertAlmostEqual(
        own["accuracy"], np.mean(read[:, k] == wanted[:, k])
      )
      self.assertAlmostEqual(own["positive_rate"], read[:, k].mean())
      self.assertEqual(own["support"], wanted[:, k].sum())
      f1s.append(f1)
      supports.append(wanted[:, k].sum())
    self.assertAlmostEqual(result["accuracy"], np.mean(read == wanted))
    self.assertAlmostEqual(result["macro_f1"], np.mean(f1s))
    self.assertAlmostEqual(
      result["weighted_f1"], np.average(f1s, weights=supports)
    )
    self.assertEqual(result["count"], len(labels))

  @parameterized.parameters("weighted", "macro")
  def test_averages_agree_with_scikit_learn(self, average):
    probabilities, labels = _random(6)
    result = scores.attribute_scores(probabilities, labels, _NAMES)
    expected = metrics.precision_recall_fscore_support(
      labels, probabilities > 0.5, average=average, zero_division=0
    )
    for name, value in zip(("precision", "recall", "f1"), expected):
      self.assertAlmostEqual(result[f"{average}_{name}"], value)

  def test_perfect(self):
    _, labels = _random(1)
    result = scores.attribute_scores(labels, labels, _NAMES)
    for name in ("accuracy", "weighted_f1", "macro_precision", "macro_recall"):
      self.assertEqual(result[name], 1)

  def test_inverted(self):
    _, labels = _random(1)
    result = scores.attribute_scores(1 - labels, labels, _NAMES)
    for name in ("accuracy", "weighted_f1", "macro_precision", "macro_recall"):
      self.assertEqual(result[name], 0)

  def test_order_of_rows_does_not_matter(self):
    probabilities, labels = _random(2)
    order = np.random.default_rng(0).permutation(len(labels))
    self.assertEqual(
      scores.attribute_scores(probabilities, labels, _NAMES, resamples=0),
      scores.attribute_scores(
        probabilities[order], labels[order], _NAMES, resamples=0
      ),
    )

  def test_single_attribute_is_scored_on_its_positives(self):
    # scikit-learn takes one column for two classes and would average both.
    result = scores.attribute_scores(
      [[0.9], [0.2], [0.9]], [[1], [0], [0]], "a"
    )
    self.assertAlmostEqual(result["weighted_f1"], 2 / 3)
    self.assertEqual(result["weighted_recall"], 1)

  def test_attribute_nobody_has(self):
    result = scores.attribute_scores(
      np.zeros([3, 2]), [[0, 1], [0, 1], [0, 0]], ["none", "some"]
    )
    own = result["attributes"]["none"]
    self.assertEqual((own["accuracy"], own["f1"], own["support"]), (1, 0, 0))

  def test_no_positive_at_all_gives_numbers(self):
    result = scores.attribute_scores(np.zeros([3, 5]), np.zeros([3, 5]), _NAMES)
    self.assertEqual(result["weighted_f1"], 0)
    self.assertEqual(result["accuracy"], 1)

  @parameterized.named_parameters(
    ("shapes", np.zeros([3, 5]), np.zeros([4, 5]), "shape"),
    ("transposed", np.zeros([5, 3]), np.zeros([5, 3]), "names"),
    ("empty", np.zeros([0, 5]), np.zeros([0, 5]), "at least one row"),
    ("logits", np.full([3, 5], -2.0), np.zeros([3, 5]), "sigmoid"),
    ("nan", np.full([3, 5], np.nan), np.zeros([3, 5]), "finite"),
    ("soft labels", np.zeros([3, 5]), np.full([3, 5], 0.5), "0 or 1"),
  )
  def test_refuses(self, probabilities, labels, message):
    with self.assertRaisesRegex(ValueError, message):
      scores.attribute_scores(probabilities, labels, _NAMES)


class MajorityScoresTest(absltest.TestCase):
  def test_answers_with_the_majority_of_training(self):
    train = np.array([[1, 0], [1, 0], [0, 1]])
    labels = np.array([[1, 1], [0, 1], [1, 0], [1, 0]])
    result = scores.majority_scores(train, labels, ["a", "b"])
    first, second = (result["attributes"][name] for name in "ab")
    self.assertEqual((first["accuracy"], first["recall"]), (0.75, 1))
    self.assertEqual((second["accuracy"], second["f1"]), (0.5, 0))

  def test_refuses_no_training_rows(self):
    with self.assertRaisesRegex(ValueError, "train_labels"):
      scores.majority_scores(np.zeros([0, 5]), np.zeros([3, 5]), _NAMES)


_AVERAGES = ("accuracy",) + tuple(
  f"{average}_{score}"
  for average in ("weighted", "macro")
  for score in ("precision", "recall", "f1")
)


def _expected(resampled):
  """Returns the percentiles of the averages of explicit resamples."""
  return {
    name: np.quantile([result[name] for result in resampled], [0.025, 0.975])
    for name in _AVERAGES
  }


class IntervalsTest(parameterized.TestCase):
  def test_are_those_of_explicit_resamples(self):
    probabilities, labels = _random(7)
    result = scores.attribute_scores(
      probabilities, labels, _NAMES, resamples=50, seed=3
    )
    resampled = []
    for weights in intervals.weights(len(labels), 50, 3):
      rows = np.repeat(np.arange(len(labels)), weights.astype(int))
      read, wanted = probabilities[rows] > 0.5, labels[rows]
      resampled.append({"accuracy": np.mean(read == wanted)})
      for average in ("weighted", "macro"):
        values = metrics.precision_recall_fscore_support(
          wanted, read, average=average, zero_division=0
        )
        for score, value in zip(("precision", "recall", "f1"), values):
          resampled[-1][f"{average}_{score}"] = value
    expected = _expected(resampled)
    self.assertEqual(set(result["intervals"]), set(_AVERAGES))
    for name, interval in result["intervals"].items():
      np.testing.assert_allclose(interval, expected[name], err_msg=name)

  def test_of_a_balanced_split_are_those_of_explicit_resamples(self):
    probabilities, labels = _random(8)
    focus = np.arange(len(labels)) % 4
    result = scores.balanced_scores(
      probabilities, labels, focus, _NAMES, resamples=50, seed=3
    )
    resampled = []
    for weights in intervals.weights(len(labels), 50, 3):
      rows = np.repeat(np.arange(len(labels)), weights.astype(int))
      resampled.append(
        scores.balanced_scores(
          probabilities[rows], labels[rows], focus[rows], _NAMES, resamples=0
        )
      )
    expected = _expected(resampled)
    for name, interval in result["intervals"].items():
      np.testing.assert_allclose(interval, expected[name], err_msg=name)

  def test_hold_the_score_and_can_be_left_out(self):
    probabilities, labels = _random(9)
    result = scores.attribute_scores(probabilities, labels, _NAMES)
    for name, (low, high) in result["intervals"].items():
      self.assertBetween(result[name], low, high)
    bare = scores.attribute_scores(probabilities, labels, _NAMES, resamples=0)
    self.assertEqual(result.keys() - bare.keys(), {"intervals"})

  def test_of_the_majority(self):
    _, labels = _random(10)
    first, again, other = (
      scores.majority_scores(labels, labels, _NAMES, seed=seed)
      for seed in (1, 1, 2)
    )
    self.assertEqual(first, again)
    self.assertNotEqual(first["intervals"], other["intervals"])


class BalancedScoresTest(absltest.TestCase):
  def test_scores_each_attribute_on_its_own_rows(self):
    probabilities, labels = _random(3)
    focus = np.arange(len(labels)) % 5
    result = scores.balanced_scores(probabilities, labels, focus, _NAMES)
    cells = []
    for k, name in enumerate(_NAMES):
      part = focus == k
      alone = scores.attribute_scores(
        probabilities[part, k : k + 1], labels[part, k : k + 1], [name]
      )
      self.assertEqual(result["attributes"][name], alone["attributes"][name])
      cells += list((probabilities[part, k] > 0.5) == labels[part, k])
    self.assertAlmostEqual(result["accuracy"], np.mean(cells))

  def test_accuracy_counts_cells_not_attributes(self):
    focus = np.array([0, 0, 0, 1])
    labels = np.ones([4, 2])
    probabilities = np.array([[1, 0]] * 4)
    result = scores.balanced_scores(probabilities, labels, focus, ["a", "b"])
    self.assertEqual(result["accuracy"], 0.75)

  def test_attribute_without_rows_is_none_and_in_no_average(self):
    probabilities, labels = _random(4)
    focus = np.arange(len(labels)) % 4
    result = scores.balanced_scores(probabilities, labels, focus, _NAMES)
    self.assertIsNone(result["attributes"]["Hat"])
    f1s = [result["attributes"][name]["f1"] for name in _NAMES[:4]]
    self.assertAlmostEqual(result["macro_f1"], np.mean(f1s))

  def test_other_cells_do_not_matter(self):
    probabilities, labels = _random(5)
    focus = np.arange(len(labels)) % 5
    elsewhere = np.arange(5) != focus[:, None]
    self.assertEqual(
      scores.balanced_scores(probabilities, labels, focus, _NAMES),
      scores.balanced_scores(
        np.where(elsewhere, 1 - probabilities, probabilities),
        labels,
        focus,
        _NAMES,
      ),
    )

  def test_refuses_a_focus_outside(self):
    with self.assertRaisesRegex(ValueError, "No row has a focus"):
      scores.balanced_scores(*_random(5), np.full(40, 7), _NAMES)

  def test_refuses_a_focus_of_another_length(self):
    with self.assertRaisesRegex(ValueError, "focus must"):
      scores.balanced_scores(*_random(5), np.zeros(3, int), _NAMES)


if __name__ == "__main__":
  absltest.main()
