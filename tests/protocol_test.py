import dataclasses
import pathlib
import types
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from lc_keras.constraints import attributes
from lc_keras.evaluation import figures
from lc_keras.evaluation import judge
from lc_keras.evaluation import protocol
from lc_keras.evaluation import systems
from trainers import measuring
from trainers import provenance

# Images with known answers, 8x16x1: the first five pixels are the attributes,
# the next one is the seed, the others are the person.
_ATTRIBUTES = attributes.Attributes(
  ["Bald", "Black", "Blond", "Male", "Hat"], [["Bald", "Black", "Blond"]]
)
_SHAPE = (8, 16, 1)
_COUNT = 24


class _Classifier:
  """Reads the pixels; an image is its own features."""

  def logits_and_features(self, images):
    features = tf.reshape(images, [-1, 8 * 16])
    return 20.0 * features[:, :5] - 10.0, features


def _labels(count, seed):
  hair = np.eye(4)[np.random.default_rng(seed).integers(4, size=count)]
  others = np.random.default_rng(seed + 1).integers(2, size=[count, 2])
  # No man with a hat.
  others[:, 1] *= 1 - others[:, 0]
  return np.concatenate([hair[:, :3], others], axis=1).astype(np.float32)


def _split(seed):
  labels = _labels(_COUNT, seed)
  images = np.random.default_rng(seed).random([_COUNT, *_SHAPE]) * 0.9
  images[:, 0, :5, 0] = labels
  return protocol.Split(images.astype(np.float32), labels)


def _protocol(**options):
  return protocol.Protocol(
    _ATTRIBUTES,
    judge.Judge(_Classifier()),
    _labels(200, 5),
    _split(0),
    dataclasses.replace(_split(2), focus=np.arange(_COUNT) % 5),
    references=_split(4).images,
    sizes=protocol.Sizes(
      unseen=7, edits=4, curve_edits=3, sequences=5, sequence_edits=3
    ),
    **options,
  )


def _show(images, values, mask, strength=1.0):
  """Writes the requested values to the first pixels."""
  shown = images[:, 0, :5, 0]
  shown = tf.where(mask * strength > 0.5, values, shown)
  first = tf.concat([shown, images[:, 0, 5:, 0]], 1)[:, None, :, None]
  return tf.concat([first, images[:, 1:]], 1)


def _obedient(strength=1.0, clumsy=False):
  """A system that fulfils requests; if clumsy, it also changes the person."""

  def sample(values, mask, seeds):
    noise = tf.cast(seeds % 1009, tf.float32)[:, None] / 1009.0
    images = (
      tf.fill([tf.shape(values)[0], *_SHAPE], 0.25) * noise[:, None, None]
    )
    return {
      "images": _show(images, values, mask, strength),
      "steps": tf.ones_like(seeds),
    }

  def transform(images, values, mask, seeds):
    images = _show(images, values, mask, strength)
    if clumsy:
      images = tf.concat([images[:, :1], 0.5 * images[:, 1:]], 1)
    return {
      "images": images,
      "converged": seeds == seeds,
      "distance": tf.reduce_sum(mask, -1),
    }

  return systems.System(
    sample, lambda images, seeds: {"images": images}, transform, batch_size=5
  )


class ProtocolTest(tf.test.TestCase, parameterized.TestCase):
  def test_obedient_samples(self):
    result = _protocol().samples(_obedient())
    for split in ("natural", "balanced", "unseen"):
      self.assertEqual(result[split]["accuracy"], 1.0, split)
    self.assertEqual(result["natural"]["count"], _COUNT)
    self.assertEqual(result["unseen"]["count"], 7)
    self.assertEqual(result["failures"], [])
    self.assertEqual(result["cost"]["steps"], 1.0)
    self.assertGreater(result["cost"]["milliseconds"], 0.0)
    # All samples are grey: less diverse than real images, and far from them.
    self.assertLess(result["diversity"]["ratio"], 1.0)
    references = _protocol().references(_obedient())
    real = references["real"]
    self.assertGreater(result["fidelity"]["fid"], real["fidelity"]["fid"])
    # The majority ignores the image; reconstructions here are the images.
    self.assertLess(references["majority"]["natural"]["accuracy"], 1.0)
    self.assertEqual(
      references["reconstruction"] | {"title": "Real images"}, real
    )
    only_samples = systems.System(lambda *request: {"images": request[0]})
    self.assertEqual(
      list(_protocol().references(only_samples)), ["majority", "real"]
    )

  def test_a_system_measured_again_gives_the_same_figures(self):
    first, again = (_protocol().samples(_obedient()) for _ in range(2))
    for one in (first, again):
      del one["cost"]["milliseconds"]
    self.assertEqual(first, again)

  def test_samples_that_ignore_the_request(self):
    lazy = _protocol().samples(_obedient(strength=0.0))
    self.assertEqual(lazy["natural"]["weighted_recall"], 0.0)
    labels = _split(0).labels
    worst = lazy["failures"][0]
    self.assertLen(worst["missing"], int(labels.sum(axis=1).max()))
    self.assertEqual(worst["excess"], [])

  def test_limit_makes_the_first_rows(self):
    seen = []

    def sample(values, mask, seeds):
      tf.py_function(
        lambda v, s: seen.append((v.numpy(), s.numpy())), [values, seeds], []
      )
      return {"images": tf.zeros([tf.shape(values)[0], *_SHAPE])}

    system = systems.System(sample, batch_size=100)
    ours = _protocol()
    for limit in (None, 6):
      ours.samples(system, limit)
    (whole, seeds), (first, first_seeds) = seen[0], seen[3]
    self.assertLen(first, 6)
    self.assertAllEqual(first, whole[:6])
    self.assertAllEqual(first_seeds, seeds[:6])
    self.assertLen(set(seeds.tolist()), _COUNT)

  def test_edits(self):
    table = _protocol().edits(_obedient())
    self.assertEqual((table["mean_read"], table["min_read"]), (1.0, 1.0))
    self.assertEqual(table["mean_others_changed"], 0.0)
    self.assertEqual(table["mean_converged"], 1.0)
    self.assertGreater(table["mean_distance"], 1.0)
    self.assertGreater(table["milliseconds"], 0.0)
    self.assertNotIn("mean_milliseconds", table)

  def test_what_is_edited_is_what_is_reconstructed(self):
    """An image has the same seed in every measurement."""
    ours = _protocol()
    images = ours.natural.images
    seeds = ours.image_seeds(images)
    self.assertLen(set(seeds.tolist()), _COUNT)
    self.assertAllEqual(ours.image_seeds(images[5:7]), seeds[5:7])
    self.assertAllEqual(ours.image_seeds(images[::-1])[::-1], seeds)
    other = _protocol(seed=1).image_seeds(images)
    self.assertNotAllEqual(other, seeds)

  def test_sequence_comes_back_without_drift(self):
    states = _protocol().sequence(_obedient())
    self.assertEqual(
      [(state["edits"], state["taken_back"]) for state in states],
      [(0, 0), (1, 0), (2, 0), (3, 0), (2, 1), (1, 2), (0, 3)],
    )
    for state in states:
      self.assertEqual(state["others_changed"], 0.0)
    for state in states[1:]:
      self.assertEqual(state["read"], 1.0)
    self.assertGreater(states[3]["feature_distance"], 1.0)
    self.assertAllClose(states[-1]["feature_distance"], 0.0, atol=1e-5)

  def test_sequence_shows_what_adds_up(self):
    states = _protocol().sequence(_obedient(clumsy=True))
    distances = [state["feature_distance"] for state in states]
    self.assertEqual(distances[0], 0.0)
    self.assertGreater(distances[-1], distances[1])

  def test_what_is_not_taken_back_shows(self):
    def sticky(images, values, mask, seeds):
      del seeds
      return {"images": _show(images, values, mask * values)}

    system = systems.System(
      None, lambda images, seeds: {"images": images}, sticky
    )
    states = _protocol().sequence(system)
    self.assertGreater(states[-1]["others_changed"], 0.0)
    self.assertLess(states[-1]["read"], 1.0)

  def test_curve_follows_the_dial_and_sets_it_back(self):
    dial = types.SimpleNamespace(
      name="strength", default=1.0, settings=(1, 0.0), variable=tf.Variable(1.0)
    )
    curve = _protocol().measure(_obedient(dial.variable), dial=dial)["curve"]
    self.assertEqual((curve["dial"], curve["default"]), ("strength", 1.0))
    self.assertEqual([point["read"] for point in curve["points"]], [1.0, 0.0])
    self.assertEqual(
      [point["setting"] for point in curve["points"]], [1.0, 0.0]
    )
    self.assertEqual(dial.variable.numpy(), 1.0)

  def test_switch(self):
    own = np.array([[0, 1, 0, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 1, 0]], "f")
    values, mask = _protocol().switch(own, np.array([2, 2, 3]))
    self.assertAllEqual(
      values, [[0, 0, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    )
    self.assertAllEqual(
      mask, [[1, 1, 1, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]
    )

  def test_figures(self):
    ours, lazy = _protocol(), _obedient(strength=0.0)
    measured = {
      "lazy": {"title": "Lazy", **ours.measure(lazy)},
      "obedient": {"title": "Obedient", **ours.measure(_obedient())},
    }
    kinds = ["samples", "failed_samples", "edits", "failed_edits"]
    drawn, shown = figures.of_system(ours, lazy, measured["lazy"])
    self.assertEqual(list(drawn), kinds)
    drawn, exhibits = figures.of_system(ours, _obedient(), measured["obedient"])
    self.assertEqual(list(drawn), kinds[::2])
    # One sample for each attribute alone, and the same edits of one image.
    made = exhibits["samples"][:, 0, :5, 0]
    self.assertAllEqual(made > 0.5, np.eye(6, 5, -1, dtype=bool))
    edited = exhibits["edits"][:, 0, :5, 0]
    before = ours.natural.labels[0]
    self.assertAllEqual(edited[0], before)
    self.assertAllEqual(np.diag(edited[1:]), 1.0 - before)
    measured["obedient"]["curve"] = {
      "dial": "strength",
      "points": [
        {"setting": 1.0, "read": 1.0, "others_changed": 0.0}
        | {"feature_ratio": None}
      ],
    }
    drawn = figures.of_all(
      ours, _obedient(), measured, {"lazy": shown, "obedient": exhibits}
    )
    self.assertEqual(
      list(drawn),
      ["reconstructions", "samples", "edits", "dials", "sequences"],
    )
    for caption, picture in drawn.values():
      self.assertNotEmpty(caption)
      self.assertGreater(np.ptp(np.asarray(picture)), 0)
    # The worst of every edit come first.
    failures = measured["lazy"]["transformations"]["failures"]
    worst = figures.worst(failures, 6)
    self.assertLen({(one["attribute"], one["on"]) for one in worst}, 6)


class KeptTest(tf.test.TestCase):
  def test_a_system_is_measured_once_unless_its_result_is_gone(self):
    folder = pathlib.Path(self.create_tempdir())
    stage = types.SimpleNamespace(
      path=lambda *names: str(folder.joinpath(*names))
    )
    (folder / "systems").mkdir()
    weights, ours = {"vae": "a"}, mock.Mock()
    ours.measure.side_effect = lambda *_: {"number": ours.measure.call_count}
    candidate = mock.Mock(
      title="One", stages=(), labelled_stages=(), build=lambda: (None, None)
    )
    self.enter_context(
      mock.patch.object(provenance, "weights", lambda *_: dict(weights))
    )
    self.enter_context(
      mock.patch.object(figures, "of_system", return_value=({}, {}))
    )

    def number():
      return measuring._measured(None, stage, ours, "one", candidate, 9)[
        "number"
      ]

    self.assertEqual([number(), number()], [1, 1])
    (folder / "systems" / "one.json").unlink()
    self.assertEqual([number(), number()], [2, 2])
    weights["vae"] = "b"
    self.assertEqual([number(), number()], [3, 3])
