import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from absl.testing import parameterized

from lc_keras import parts
from lc_keras.constraints import attributes
from lc_keras.evaluation import systems
from lc_keras.samplers import sampler
from tests import tiny_run

tfd = tfp.distributions

_ATTRIBUTES = attributes.Attributes(
  ["Bald", "Black", "Blond", "Male", "Hat"], [["Bald", "Black", "Blond"]]
)
_SHAPE = (8, 16, 1)
_LABELS = np.array([[1, 0, 0, 1, 0], [0, 1, 0, 0, 1], [0, 0, 1, 1, 1]], "f")


class _Generator:
  """Draws its latent vector of size 4 as the first pixels of an image."""

  image_shape = _SHAPE
  latent_size = 4

  def encode(self, images):
    return tfd.MultivariateNormalDiag(
      images[:, 0, :4, 0], tf.fill([tf.shape(images)[0], 4], 0.25)
    )

  def decode(self, latents):
    rest = tf.zeros([tf.shape(latents)[0], 8 * 16 - 4])
    images = tf.reshape(tf.concat([latents, rest], 1), [-1, *_SHAPE])
    return tfd.Deterministic(images)


class _Sampler(sampler.Transformer):
  """Writes the request to the latent vector; returns its start, too."""

  def __init__(self):
    super().__init__(
      sampler.Judges(
        _ATTRIBUTES,
        lambda latents, values, mask: tf.reduce_sum(latents, -1),
        lambda latents: tf.concat([latents, latents[:, :1]], -1),
        tf.ones([4]),
      )
    )

  def sample(self, constraint, seeds):
    return self._move(self._prior(seeds), constraint)

  def edit(self, latents, edit, seeds):
    return self._move(latents, edit.asked)

  def _move(self, latents, constraint):
    asked = constraint.mask[:, :4]
    moved = asked * constraint.values[:, :4] + (1.0 - asked) * latents
    return self._result(moved, constraint, 7, latents)


class _Conditional:
  """Draws its attributes next to its latent vector."""

  latent_size = 4

  def encode(self, images, own):
    return _Generator().encode(images)

  def decode(self, latents, wanted):
    return tfd.Deterministic(self.generate(latents, wanted))

  def generate(self, latents, wanted):
    rest = tf.zeros([tf.shape(latents)[0], 8 * 16 - 4 - 5])
    flat = tf.concat([latents, wanted, rest], 1)
    return tf.reshape(flat, [-1, *_SHAPE])


def _images(count):
  images = np.zeros([count, *_SHAPE], np.float32)
  images[:, 0, :4, 0] = np.random.default_rng(1).random([count, 4])
  return images


def _request(count, column=3, on=1.0):
  values, mask = np.zeros([2, count, 5], np.float32)
  values[:, column], mask[:, column] = on, 1.0
  return values, mask


class SystemsTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.parameters(1, 2, 3, 7)
  def test_rows_do_not_depend_on_their_batches(self, batch_size):
    def sample(values, mask, seeds):
      noise = tf.cast(seeds[:, tf.newaxis], tf.float32)
      return {"images": values * mask + noise, "steps": seeds * 2}

    values, mask = _request(7)
    whole = systems.System(sample, batch_size=7).sample(
      values, mask, np.arange(7)
    )
    made = systems.System(sample, batch_size=batch_size).sample(
      values, mask, np.arange(7)
    )
    self.assertAllEqual(made.images, whole.images)
    self.assertAllEqual(made.measures["steps"], 2 * np.arange(7))

  def test_traces_once_whatever_the_number_of_rows(self):
    traces = []

    def sample(values, mask, seeds):
      traces.append(values.shape)
      return {"images": values}

    system = systems.System(sample, batch_size=3)
    for count in (1, 3, 8):
      made = system.sample(*_request(count), np.arange(count))
      self.assertLen(made.images, count)
    self.assertEqual([tuple(shape) for shape in traces], [(None, 5)])

  def test_time_is_not_measured_while_compiling(self):
    system = systems.System(
      lambda values, mask, seeds: {"images": values}, batch_size=3
    )
    first = system.sample(*_request(5), np.arange(5)).measures["milliseconds"]
    self.assertAllEqual(np.isnan(first), [True] * 3 + [False] * 2)
    again = system.sample(*_request(2), np.arange(2)).measures["milliseconds"]
    self.assertAllGreater(again, 0.0)

  def test_prior_knows_nothing_of_the_request(self):
    system = systems.prior(_Generator())
    on = system.sample(*_request(3), np.arange(3)).images
    off = system.sample(*_request(3, on=0.0), np.arange(3)).images
    self.assertAllEqual(on, off)
    self.assertFalse(system.transforms)
    other = system.sample(*_request(3), np.arange(3, 6)).images
    self.assertNotAllClose(on, other)

  def test_latent_transforms_what_it_reconstructs(self):
    system = systems.latent(_Generator(), _Sampler())
    images, seeds = _images(3), np.array([5, 6, 7])
    before = system.reconstruct(images, seeds).images
    made = system.transform(images, *_request(3), seeds)
    self.assertAllEqual(made.images[:, 0, 3, 0], np.ones(3))
    self.assertAllClose(made.images[:, 0, :3], before[:, 0, :3])
    self.assertAllEqual(made.measures["steps"], [7, 7, 7])
    self.assertAllGreater(made.measures["distance"], 0.0)
    self.assertEqual(made.measures["converged"].dtype, bool)

  def test_a_system_does_what_its_parts_can(self):
    class Decoder:
      image_shape, latent_size = _SHAPE, 4
      decode = _Generator.decode

    class OnlySamples(sampler.Sampler):
      sample, _move = _Sampler.sample, _Sampler._move

    for system in (
      systems.prior(Decoder()),
      systems.latent(Decoder(), _Sampler()),
      systems.latent(_Generator(), OnlySamples(_Sampler().judges)),
    ):
      self.assertTrue(system.samples)
      self.assertFalse(system.reconstructs or system.transforms)
      images = system.sample(*_request(3), np.arange(3)).images
      self.assertEqual(images.shape, (3, *_SHAPE))
    self.assertTrue(systems.prior(_Generator()).reconstructs)
    self.assertTrue(systems.latent(_Generator(), _Sampler()).transforms)

  def test_latent_draws_from_the_posterior_by_the_row_s_seed(self):
    system = systems.latent(_Generator(), _Sampler())
    images = np.tile(_images(1), [3, 1, 1, 1])
    drawn = system.reconstruct(images, np.array([5, 6, 5])).images
    self.assertAllEqual(drawn[0], drawn[2])
    self.assertNotAllClose(drawn[0], drawn[1])
    self.assertAllClose(drawn, images, atol=1.5)

  def test_conditional_vae_keeps_what_is_read_and_open(self):
    # Reads the first pixels as logits of "Bald" and "Black".
    def read(images):
      first = images[:, 0, :2, 0] - 0.5
      return tf.concat([first, tf.fill([tf.shape(images)[0], 3], -1.0)], 1)

    system = systems.conditional_vae(_Conditional(), _ATTRIBUTES, _LABELS, read)
    images = _images(3)
    images[:, 0, :2, 0] = [[1, 0], [0, 1], [0, 0]]
    seeds = np.arange(3)
    own = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    before = system.reconstruct(images, seeds).images[:, 0, :, 0]
    self.assertAllEqual(before[:, 4:9], own)
    after = system.transform(images, *_request(3, 2), seeds).images[:, 0, :, 0]
    # Blond excludes the other hair colours.
    self.assertAllEqual(after[:, 4:9], [[0, 0, 1, 0, 0]] * 3)
    self.assertAllClose(after[:, :4], before[:, :4])

  def test_baselines_fill_a_request_up_with_labels_of_the_data(self):
    for system in (
      systems.conditional_vae(_Conditional(), _ATTRIBUTES, _LABELS, None),
      systems.conditional_gan(_Conditional(), _ATTRIBUTES, _LABELS),
    ):
      made = system.sample(*_request(3, 1), np.arange(3)).images[:, 0, 4:9, 0]
      expected = _LABELS.copy()
      expected[:, :3] = [0, 1, 0]
      self.assertAllEqual(made, expected)
      everything = np.ones([3, 5], np.float32)
      made = system.sample(1 - _LABELS, everything, np.arange(3)).images
      self.assertAllEqual(made[:, 0, 4:9, 0], 1 - _LABELS)


_LATENT = ("vae", "latents", "classifier", "attributes")


class CandidatesTest(tf.test.TestCase, parameterized.TestCase):
  def test_published_actors_come_first_then_others(self):
    done = [*_LATENT, "actor_10", "actor_no_penalty", "actor_0", "actor_0.5"]
    found = systems.candidates(None, done + ["flow"])
    self.assertEqual(
      list(found),
      ["prior", "actor_0", "actor_0.5", "actor_10", "actor_no_penalty"]
      + ["search", "search_published", "energy", "energy_langevin"]
      + ["best_of_n", "flow"],
    )
    self.assertEqual(found["actor_0.5"].title, "Actor, lambda 0.5")
    self.assertEqual(found["actor_no_penalty"].title, "Actor, no penalty")
    # The actor whose critic judges: actor_0.1 if it exists, else the first.
    self.assertIn("actor_0", found["search"].stages)

  def test_needs_what_a_system_is_made_of(self):
    found = systems.candidates(None, ["conditional_vae", "linear"])
    self.assertEqual(list(found), ["conditional_vae"])
    # Without an actor there is no critic that could judge a sampler.
    found = systems.candidates(None, [*_LATENT, "flow", "linear"])
    self.assertEqual(list(found), ["prior"])

  @parameterized.parameters(
    ("prior", []),
    ("actor_0.1", ["attributes", "actor_0.1"]),
    ("search", ["attributes", "actor_0.1"]),
    ("importance", ["attributes"]),
    ("flow", ["attributes", "flow"]),
    ("conditional_gan", ["conditional_gan"]),
  )
  def test_what_one_more_attribute_takes(self, name, stages):
    done = ["gan", *_LATENT[1:], "actor_0.1", "realism", "flow"]
    found = systems.candidates(None, [*done, "conditional_gan"])[name]
    self.assertEqual(found.labelled_stages, stages)
    self.assertEqual("gan" in found.stages, name != "conditional_gan")

  def test_every_candidate_of_a_run_can_be_built_and_turned(self):
    folder = self.create_tempdir().full_path
    tiny_run.write(folder)
    done = ["vae", "latents", "attributes", "realism", "flow", "linear"]
    found = systems.candidates(parts.read(folder), [*done, "actor_0.1"])
    self.assertLen(found, 10)
    for name, candidate in found.items():
      system, dial = candidate.build()
      self.assertTrue(system.samples, name)
      if dial is not None:
        self.assertEqual(dial.variable.numpy(), dial.default)
        images = np.random.default_rng(0).random([2, *tiny_run.IMAGE_SHAPE])
        request = _request(2)
        made = []
        for setting in (dial.settings[0], dial.settings[-1]):
          dial.variable.assign(setting)
          made.append(system.transform(images, *request, np.arange(2)).images)
        if name != "flow":  # Its velocity is zero before it is trained.
          self.assertNotAllClose(*made, msg=name)
