"""Tests of what the soak test goes by: that it would see what it looks for."""

import types

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized

from tests import soak_clients
from tests import soak_counts
from tests import soak_models
from tests import soak_report
from tests import soak_world


def _samples(per_load, noise=5.0):
  """Memory that grows to 700 MB in the first 50 of 400 loads, and then on."""
  dice = np.random.default_rng(0)
  return [
    {
      "loads": loads,
      "memory": 700.0
      - 2.0 * max(0, 50 - loads)
      + per_load * loads
      + dice.uniform(0.0, noise),
      "threads": 60,
      "files": 30,
    }
    for loads in range(400)
  ]


class TrendTest(parameterized.TestCase):
  @parameterized.parameters(0.0, 0.1, 1.0)
  def test_growth(self, per_load):
    found = soak_report.trend(_samples(per_load), "memory")
    self.assertAlmostEqual(found.growth, 200.0 * per_load, delta=2.0)
    self.assertAlmostEqual(found.per_load, per_load, delta=0.01)
    self.assertIn("-> ", soak_report.sentence("memory", " MB", found))

  def test_without_loads(self):
    samples = [sample | {"loads": 3} for sample in _samples(1.0)]
    self.assertEqual(soak_report.trend(samples, "threads").growth, 0.0)

  def test_picture(self):
    image = soak_report.picture(_samples(0.1))
    self.assertGreater(image.width, image.height)


class _Client:
  """Says what it is told to say."""

  def __init__(self, said, y):
    self._answer = said, y

  def ask(self, model, x):
    if isinstance(self._answer[1], Exception):
      raise self._answer[1]
    return self._answer


class CheckTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.world = types.SimpleNamespace(
      counts=soak_counts.Counts(), outage=soak_counts.Truth()
    )
    self.model = soak_world.Model("demo", "", None, 2.0, soak_counts.Truth(1))
    self.x = np.array([[1.0, 2.0]], np.float32)

  def _check(self, said, y, **kwargs):
    client = _Client(said, y)
    soak_clients.check(self.world, "kind", client, self.model, self.x, **kwargs)
    return {
      outcome: self.world.counts.total(outcome)
      for outcome in ("right", "expected", "wrong", "failed")
      if self.world.counts.total(outcome)
    }

  @parameterized.parameters(
    (1, [[3.0, 5.0]], "right"),
    (None, [[3.0, 5.0]], "right"),
    (2, [[3.0, 5.0]], "wrong"),  # Not the version that it says.
    (2, [[4.0, 6.0]], "wrong"),  # There is no version 2.
    (1, [[3.0, 5.5]], "wrong"),
    (1, [[4.0, 7.0]], "wrong"),  # Another model's.
    (1, [3.0, 5.0], "wrong"),
  )
  def test_answers(self, said, y, outcome):
    self.assertEqual(self._check(said, y), {outcome: 1})
    self.assertIn("kind", self.world.counts.table())
    self.assertLen(self.world.counts.examples, int(outcome == "wrong"))

  def test_failures(self):
    failure = soak_clients.Failure("NOT_FOUND", "It is not there.")
    self.assertEqual(self._check(None, failure), {"failed": 1})
    self.model.truth.may_be(1, soak_counts.ABSENT)
    self.assertEqual(self._check(None, failure), {"failed": 1, "expected": 1})
    self.model.truth.may_be(1)
    self.assertEqual(self._check(None, failure), {"failed": 2, "expected": 1})
    self.assertEqual(
      self._check(None, failure, expected=("NOT_FOUND",)),
      {"failed": 2, "expected": 2},
    )

  def test_what_is_possible_changes_while_a_call_runs(self):
    truth = soak_counts.Truth(1)
    begin = truth.begin()
    truth.may_be(1, 2)
    truth.may_be(2)
    truth.may_be(3)
    self.assertEqual(truth.since(begin), {1, 2, 3})
    self.assertEqual(truth.since(truth.begin()), {3})


class ModelsTest(absltest.TestCase):
  def test_versions_are_told_apart(self):
    x = np.array([[1.0, -2.0], [0.5, 4.0]], np.float32)
    self.assertEqual(soak_models.version_of(x, 3.0 * x + 17.0, 3.0), 17)
    self.assertIsNone(soak_models.version_of(x, 3.0 * x + 17.5, 3.0))
    self.assertIsNone(soak_models.version_of(x, 2.0 * x + 17.0, 3.0))
    self.assertIsNone(soak_models.version_of(x, [1.0], 3.0))


if __name__ == "__main__":
  absltest.main()
