import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from sklearn import metrics

from lc_keras.evaluation import intervals
from lc_keras.evaluation import scores

_NAMES = ("Bald", "Male", "Smiling", "Young", "Hat")
_AVERAGES = ("accuracy",) + tuple(
  f"{average}_{score}"
  for average in ("weighted", "macro")
  for score in ("precision", "recall", "f1")
)


def _random(seed, rows=40):
  generator = np.random.default_rng(seed)
  rates = np.array([0.1, 0.3, 0.5, 0.8, 0.2])
  labels = (generator.random([rows, 5]) < rates).astype(np.float32)
  return generator.random([rows, 5]), labels


class AttributeScoresTest(parameterized.TestCase):
  @parameterized.parameters(range(3))
  def test_agrees_with_counting(self, seed):
    probabilities, labels = _random(seed)
    result = scores.attribute_scores(probabilities, labels, _NAMES, 0.4)
    read, wanted = probabilities > 0.4, labels == 1
    for k, name in enumerate(_NAMES):
      hits = np.sum(read[:, k] & wanted[:, k])
      own = result["attributes"][name]
      for score, expected in {
        "precision": hits / max(read[:, k].sum(), 1),
        "recall": hits / max(wanted[:, k].sum(), 1),
        "f1": 2 * hits / max(read[:, k].sum() + wanted[:, k].sum(), 1),
        "accuracy": np.mean(read[:, k] == wanted[:, k]),
        "positive_rate": read[:, k].mean(),
        "support": wanted[:, k].sum(),
      }.items():
        self.assertAlmostEqual(own[score], expected, msg=score)
    self.assertAlmostEqual(result["accuracy"], np.mean(read == wanted))
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

  def test_single_attribute_is_scored_on_its_positives(self):
    # scikit-learn treats one column as two classes and would average both.
    result = scores.attribute_scores(
      [[0.9], [0.2], [0.9]], [[1], [0], [0]], "a"
    )
    self.assertAlmostEqual(result["weighted_f1"], 2 / 3)
    self.assertEqual(result["weighted_recall"], 1)

  def test_attributes_that_nothing_has(self):
    result = scores.attribute_scores(
      np.zeros([3, 2]), [[0, 1], [0, 1], [0, 0]], ["none", "some"]
    )
    own = result["attributes"]["none"]
    self.assertEqual((own["accuracy"], own["f1"], own["support"]), (1, 0, 0))
    result = scores.attribute_scores(np.zeros([3, 5]), np.zeros([3, 5]), _NAMES)
    self.assertEqual((result["weighted_f1"], result["accuracy"]), (0, 1))

  def test_majority_answers_as_most_of_training(self):
    train = np.array([[1, 0], [1, 0], [0, 1]])
    labels = np.array([[1, 1], [0, 1], [1, 0], [1, 0]])
    result = scores.majority_scores(train, labels, ["a", "b"])
    first, second = (result["attributes"][name] for name in "ab")
    self.assertEqual((first["accuracy"], first["recall"]), (0.75, 1))
    self.assertEqual((second["accuracy"], second["f1"]), (0.5, 0))
    with self.assertRaisesRegex(ValueError, "train_labels"):
      scores.majority_scores(np.zeros([0, 5]), np.zeros([3, 5]), _NAMES)

  @parameterized.named_parameters(
    ("shapes", np.zeros([3, 5]), np.zeros([4, 5]), "shape"),
    ("transposed", np.zeros([5, 3]), np.zeros([5, 3]), "names"),
    ("empty", np.zeros([0, 5]), np.zeros([0, 5]), "at least one row"),
    ("logits", np.full([3, 5], -2.0), np.zeros([3, 5]), "sigmoid"),
    ("nan", np.full([3, 5], np.nan), np.zeros([3, 5]), "finite"),
    ("soft labels", np.zeros([3, 5]), np.full([3, 5], 0.5), "0 or 1"),
    ("focus", *_random(5), "No row has a focus", np.full(40, 7)),
    ("length", *_random(5), "focus must", np.zeros(3, int)),
  )
  def test_refuses(self, probabilities, labels, message, focus=None):
    with self.assertRaisesRegex(ValueError, message):
      scores.attribute_scores(probabilities, labels, _NAMES, focus=focus)


class IntervalsTest(parameterized.TestCase):
  @parameterized.parameters(None, 4)
  def test_are_those_of_explicit_resamples(self, focuses):
    probabilities, labels = _random(7)
    focus = None if focuses is None else np.arange(len(labels)) % focuses

    def score(rows, **options):
      return scores.attribute_scores(
        probabilities[rows],
        labels[rows],
        _NAMES,
        focus=None if focus is None else focus[rows],
        **options,
      )

    everything = np.arange(len(labels))
    result = score(everything, resamples=50, seed=3)
    resampled = [
      score(np.repeat(everything, weights.astype(int)), resamples=0)
      for weights in intervals.weights(len(labels), 50, 3)
    ]
    self.assertEqual(set(result["intervals"]), set(_AVERAGES))
    for name, interval in result["intervals"].items():
      expected = np.quantile([one[name] for one in resampled], [0.025, 0.975])
      np.testing.assert_allclose(interval, expected, err_msg=name)
      self.assertBetween(result[name], *interval)
    self.assertEqual(result.keys() - resampled[0].keys(), {"intervals"})


class FocusTest(absltest.TestCase):
  def test_scores_each_attribute_on_its_own_rows(self):
    probabilities, labels = _random(3)
    focus = np.arange(len(labels)) % 4
    result = scores.attribute_scores(probabilities, labels, _NAMES, focus=focus)
    cells, f1s = [], []
    for k, name in enumerate(_NAMES[:4]):
      part = focus == k
      alone = scores.attribute_scores(
        probabilities[part, k : k + 1], labels[part, k : k + 1], [name]
      )
      self.assertEqual(result["attributes"][name], alone["attributes"][name])
      cells += list((probabilities[part, k] > 0.5) == labels[part, k])
      f1s.append(alone["macro_f1"])
    self.assertAlmostEqual(result["accuracy"], np.mean(cells))
    # No row was drawn for the last attribute: no average includes it.
    self.assertIsNone(result["attributes"]["Hat"])
    self.assertAlmostEqual(result["macro_f1"], np.mean(f1s))

  def test_accuracy_counts_cells_not_attributes(self):
    result = scores.attribute_scores(
      [[1, 0]] * 4, np.ones([4, 2]), ["a", "b"], focus=[0, 0, 0, 1]
    )
    self.assertEqual(result["accuracy"], 0.75)
