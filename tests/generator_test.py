"""Tests of generators: conventions of models, and errors."""

import json
import os
import pathlib

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from absl.testing import parameterized

from lc_keras import files
from lc_keras.generators import generator
from lc_keras.generators import specs
from lc_keras.generators import writing
from lc_keras.models import storage
from lc_keras.models import vae
from tests import testing

tfd = tfp.distributions

_SHAPE = (4, 6, 3)
_SIZE = 5
_WEIGHTS = np.random.default_rng(0).normal(size=[_SIZE, 72]).astype(np.float32)
_BACK = np.linalg.pinv(_WEIGHTS)


def _share(latents):
  return tfd.Normal(0.0, 1.0).cdf(latents)


# Conventions of models: options of `Generator`, shapes of images and latents,
# and the map from draws of N(0, I) to latents.
_CONVENTIONS = {
  "ours": ({}, _SHAPE, (_SIZE,), None),
  "symmetric": ({}, _SHAPE, (_SIZE,), None),
  "bytes": ({}, _SHAPE, (_SIZE,), None),
  "logits": ({"pixels": "logits"}, _SHAPE, (_SIZE,), None),
  "channels_first": ({}, (3, 4, 6), (_SIZE,), None),
  "flat": ({"image_shape": _SHAPE}, (72,), (_SIZE,), None),
  "flat_first": ({"image_shape": (3, 4, 6)}, (72,), (_SIZE,), None),
  "shaped": ({"latent_size": (_SIZE, 1, 1)}, _SHAPE, (_SIZE, 1, 1), None),
  "uniform": (
    {"prior": "uniform"},
    _SHAPE,
    (_SIZE,),
    lambda z: 2.0 * _share(z) - 1.0,
  ),
  "unit_uniform": ({"prior": "unit_uniform"}, _SHAPE, (_SIZE,), _share),
}
_RANGES = {"symmetric": (-1.0, 1.0), "bytes": (0.0, 255.0)}


def _images(latents):
  """The analytic decoder for draws of N(0, I)."""
  flat = 0.3 * tf.matmul(latents, _WEIGHTS)
  return tf.reshape(tf.sigmoid(flat), [-1, *_SHAPE])


def _latents(images):
  """Its inverse."""
  flat = tf.clip_by_value(tf.reshape(images, [-1, 72]), 1e-6, 1.0 - 1e-6)
  logits = tf.math.log(flat) - tf.math.log1p(-flat)
  return tf.matmul(logits / 0.3, _BACK)


def _model(name):
  """Returns decoder and encoder of a model with a convention."""
  said, shape, latent_shape, own = _CONVENTIONS[name]
  low, high = _RANGES.get(name, (0.0, 1.0))
  is_first = "first" in name
  inverse = {
    None: tf.identity,
    "uniform": lambda u: tf.math.ndtri((u + 1.0) / 2.0),
    "unit_uniform": tf.math.ndtri,
  }[said.get("prior")]

  def decode(latents):
    tf.debugging.assert_equal(tf.shape(latents)[1:], list(latent_shape))
    images = _images(inverse(tf.reshape(latents, [-1, _SIZE])))
    if name == "logits":
      images = tf.math.log(images) - tf.math.log1p(-images)
    images = tf.transpose(images, [0, 3, 1, 2]) if is_first else images
    images = images * (high - low) + low
    return tf.cast(tf.reshape(images, [-1, *shape]), tf.float64)

  def encode(pixels):
    tf.debugging.assert_equal(tf.shape(pixels)[1:], list(shape))
    if is_first:
      pixels = tf.reshape(pixels, [-1, 3, 4, 6])
      pixels = tf.transpose(pixels, [0, 2, 3, 1])
    latents = _latents((pixels - low) / (high - low))
    latents = own(latents) if own else latents
    return {"mean": tf.reshape(latents, [-1, *latent_shape])}

  return decode, encode


class ConventionsTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.named_parameters((name, name) for name in _CONVENTIONS)
  def test_the_same_images_under_all_conventions(self, name):
    made = generator.Generator(
      *_model(name), **{"latent_size": _SIZE, **_CONVENTIONS[name][0]}
    )
    self.assertEqual((made.image_shape, made.latent_size), (_SHAPE, _SIZE))
    latents = tf.random.stateless_normal([7, _SIZE], (0, 0))
    images = made.decode(latents).mean()
    self.assertAllClose(images, _images(latents), atol=1e-5)
    self.assertEqual(images.dtype, tf.float32)
    # As jobs run it: in a graph, for batches of any length.
    traced = tf.function(lambda x: made.encode(x), autograph=False)
    posterior = traced(images)
    self.assertAllClose(posterior.mean(), latents, atol=2e-2)
    self.assertAllClose(posterior.stddev(), tf.fill([7, _SIZE], 0.1))
    self.assertTrue(made.exportable and made.differentiable)

  def test_an_encoder_may_order_images_and_latents_otherwise(self):
    kernel = np.random.default_rng(0).normal(size=[4, 3]).astype(np.float32)
    back = np.linalg.pinv(kernel)
    made = generator.Generator(
      lambda z: tf.sigmoid(tf.matmul(z, kernel)),  # [8, 6, 4] to [8, 6, 3].
      tf.function(
        lambda x: tf.transpose(
          tf.matmul(tf.transpose(x, [0, 2, 3, 1]) - 0.5, back), [0, 3, 1, 2]
        ),
        input_signature=[tf.TensorSpec([None, 3, 8, 6], name="x")],
      ),
      latent_size=(8, 6, 4),
    )
    images = made.decode(tf.random.stateless_normal([2, 192], (0, 0))).mean()
    expected = tf.reshape(tf.matmul(images - 0.5, back), [2, 192])
    self.assertAllClose(made.encode(images).mean(), expected, atol=1e-5)

  @parameterized.named_parameters(
    ("mean", lambda m, s: m, 0.1),
    ("scale", lambda m, s: (m, s), 0.3),
    ("log_variance", lambda m, s: [m, 2.0 * tf.math.log(s)], 0.3),
    ("and_a_draw", lambda m, s: (m, 2.0 * tf.math.log(s), m + s), 0.3),
    (
      "a_draw_first",
      lambda m, s: (m + tf.random.normal([]), m, 2.0 * tf.math.log(s)),
      0.3,
    ),
    ("dictionary", lambda m, s: {"sigma": s, "mu": m}, 0.3),
    ("of_keras", lambda m, s: {"output_1": s, "output_0": m}, 0.3),
    ("distribution", lambda m, s: tfd.MultivariateNormalDiag(m, s), 0.3),
    ("halves", lambda m, s: tf.concat([m, 2.0 * tf.math.log(s)], -1), 0.3),
    ("scale_halves", lambda m, s: tf.concat([m, s], -1), 0.3),
    ("stacked", lambda m, s: tf.stack([m, 2.0 * tf.math.log(s)], 1), 0.3),
    ("bfloat16", lambda m, s: tf.cast(m, tf.bfloat16), 0.1),
  )
  def test_a_posterior_is_what_the_encoder_gives(self, give, scale):
    def encode(images):
      mean = _latents(images)
      return give(mean, tf.fill(tf.shape(mean), 0.3))

    made = generator.Generator(_images, encode, latent_size=_SIZE)
    latents = tf.random.stateless_normal([2, _SIZE], (0, 0))
    posterior = made.encode(_images(latents))
    self.assertAllClose(posterior.mean(), latents, atol=3e-2)
    self.assertAllClose(posterior.stddev(), tf.fill([2, _SIZE], scale))

  def test_pixels_outside_of_the_range_are_clipped(self):
    made = generator.Generator(
      lambda z: tf.reshape(0.5 + 0.2 * z, [-1, 4, 6, 1]), latent_size=24
    )
    self.assertIn("clipped", " ".join(made.notes))
    images = made.map(5.0 * tf.random.stateless_normal([3, 24], (0, 0)))
    self.assertAllInRange(images, 0.0, 1.0)
    self.assertFalse(generator.can_encode(made))

  def test_the_ends_of_a_uniform_prior_are_finite(self):
    made = generator.Generator(
      lambda z: _images(tf.math.ndtri(tf.clip_by_value(z, 0.01, 0.99))),
      lambda x: tf.sign(_latents(x)),
      latent_size=_SIZE,
      prior="uniform",
    )
    mean = made.encode(_images(tf.random.stateless_normal([9, _SIZE], (1, 1))))
    self.assertAllInRange(tf.abs(mean.mean()), 3.0, 4.0)

  def test_latents_may_be_optional(self):
    def sample(eps=None):
      return _images(tf.zeros([1, _SIZE]) if eps is None else eps)

    found = generator.Generator(sample, latent_size=_SIZE)
    latents = tf.ones([2, _SIZE])
    self.assertAllClose(found.decode(latents).mean(), _images(latents))

  def test_a_batch_of_one_size_is_filled_up(self):
    fixed = tf.function(
      _images, input_signature=[tf.TensorSpec([16, _SIZE], name="z")]
    )
    made = generator.Generator(fixed)
    latents = tf.random.stateless_normal([18, _SIZE], (0, 0))
    self.assertAllClose(made.map(latents), _images(latents), atol=1e-6)
    with tf.GradientTape() as tape:
      tape.watch(latents)
      images = made.decode(latents).mean()
    self.assertGreater(np.abs(tape.gradient(images, latents)).min(), 0.0)

  def test_what_runs_outside_of_a_graph_is_called_there(self):
    made = generator.Generator(
      lambda z: _images(np.asarray(z)), latent_size=_SIZE
    )
    self.assertFalse(made.exportable or made.differentiable)
    self.assertIn("called outside of it", " ".join(made.notes))
    latents = tf.random.stateless_normal([3, _SIZE], (0, 0))
    decode = tf.function(lambda z: made.decode(z).mean(), autograph=False)
    self.assertAllClose(decode(latents), _images(latents), atol=1e-6)

  @parameterized.named_parameters(
    ("prior", _images, {"prior": "cauchy"}, "Unknown prior 'cauchy'"),
    ("range", _images, {"pixel_range": (1, 0)}, "black, then that of white"),
    ("no_range", _images, {"pixel_range": 7}, "two numbers"),
    ("size", _images, {"latent_size": 0}, "a size or a shape"),
    ("no_size", _images, {"latent_size": None}, "give latent_size"),
    (
      "logits",
      lambda z: tf.reshape(z @ _WEIGHTS, [-1, *_SHAPE]),
      {},
      "These look like logits: --pixels=logits takes",
    ),
    ("no_logits", _images, {"pixels": "logits"}, "not logits: leave"),
    (
      "tanh",
      lambda z: 2.0 * _images(z) - 1.0,
      {"pixel_range": (0, 1)},
      "not fit --pixel_range=0,1: .* They fit --pixel_range=-1,1",
    ),
    ("two", lambda z: (_images(z), z), {}, "several outputs"),
    (
      "flat",
      lambda z: tf.sigmoid(tf.tile(z, [1, 15])),
      {},
      r"are flat. Give their shape, --image_shape=5,5,3",
    ),
    ("shape", _images, {"image_shape": (4, 6, 1)}, "leave --image_shape=4,6,1"),
    ("no_shape", _images, {"image_shape": "4,6,3"}, "image_shape is a shape"),
    (
      "flat_wrong",
      lambda z: tf.sigmoid(tf.tile(z, [1, 15])),
      {"image_shape": (5, 5, 1)},
      "--image_shape=5,5,1 has 25",
    ),
    ("held", _images, {"fixed": 7}, "fixed is a dictionary"),
    ("fails", lambda z: 1 / 0, {}, "asked to decode.*ZeroDivisionError"),
    (
      "channels",
      lambda z: tf.reshape(tf.tile(z, [1, 24]), [-1, 4, 6, 5]),
      {},
      "1 or 3",
    ),
    (
      "constant",
      lambda z: tf.fill([len(z), 4, 6], 0.5),
      {},
      "the same image of all latent vectors",
    ),
    (
      "nan",
      lambda z: np.full([len(z), 4, 6], np.nan),
      {},
      "100% of the images as NaN",
    ),
    ("text", lambda z: np.array([["text"]]), {}, "numbers are needed"),
    ("few", lambda z: np.ones([2, 4, 6]), {}, "2 images of 3 latent vectors"),
    ("inputs", lambda z, c: _images(z), {}, "z, c: .* --fixed=c:VALUE"),
  )
  def test_refuses_with_the_reason(self, decode, said, sentence):
    with self.assertRaisesRegex(ValueError, f"(?s){sentence}"):
      generator.Generator(decode, **{"latent_size": _SIZE, **said})

  @parameterized.parameters(
    (3, "is needed; got int"),
    (None, "is needed; got None"),
    (keras.Sequential, "is a class, not a model"),
  )
  def test_refuses_what_is_no_model(self, model, sentence):
    with self.assertRaisesRegex(TypeError, sentence):
      generator.Generator(model)

  @parameterized.parameters(
    (np.zeros([2, _SIZE + 1]),),
    (np.zeros([2, 2, _SIZE]),),
    (np.zeros([_SIZE]),),
    (np.full([2, _SIZE], np.nan),),
    ("x",),
    (None,),
    ({"a": 1},),
    ([[1, 2], [3]],),
  )
  def test_refuses_what_are_no_latents(self, latents):
    made = generator.Generator(_images, latent_size=_SIZE)
    with self.assertRaisesRegex(ValueError, f"Latents are .*, {_SIZE}]"):
      made.map(latents)

  def test_latents_of_a_multiple_of_the_size_are_not_taken_for_more(self):
    made = generator.Generator(_images, latent_size=_SIZE)
    with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "not compatib"):
      made.decode(tf.zeros([3, 2 * _SIZE]))

  def test_refuses_a_file_that_is_not_there(self):
    with self.assertRaisesRegex(FileNotFoundError, "no file or folder 'x'"):
      generator.Generator("x")

  def test_warns_of_chance(self):
    made = generator.Generator(
      lambda z: np.random.rand(len(z), 4, 6), latent_size=_SIZE
    )
    self.assertIn("gave another image", " ".join(made.notes))


class WriteTest(tf.test.TestCase):
  def test_models_are_the_same_when_read_again(self):
    keras.utils.set_random_seed(0)
    pixels = keras.Input([4, 6, 1])
    flat = keras.layers.Flatten()(pixels)
    heads = [keras.layers.Dense(_SIZE, name=n)(flat) for n in ("z_mean", "b")]
    decoder = keras.Sequential(
      [
        keras.Input([_SIZE]),
        keras.layers.Dense(24, "tanh"),
        keras.layers.Reshape([4, 6, 1]),
      ]
    )
    encoder = keras.Model(pixels, heads)
    functions = (
      tf.function(lambda z: decoder(z)),
      tf.function(lambda x: dict(zip(["mean", "b"], encoder(x)))),
    )
    latents = tf.random.stateless_normal([3, _SIZE], (0, 0))
    fingerprints = []
    for models in ((decoder, encoder), functions):
      made = generator.Generator(
        *models,
        latent_size=_SIZE,
        pixel_range=(-1, 1),
        outputs={"log_variance": "b"},
      )
      folder = self.create_tempdir().full_path
      writing.write(made, folder)
      again = generator.load(folder)
      self.assertTrue(generator.has_encoder(folder))
      images = made.map(latents)
      self.assertAllClose(again.map(latents), images, atol=1e-6)
      for statistic in ("mean", "stddev"):
        self.assertAllClose(
          getattr(again.encode(images), statistic)(),
          getattr(made.encode(images), statistic)(),
          atol=1e-5,
        )
      self.assertTrue(again.exportable and again.differentiable)
      fingerprints.append(generator.fingerprint(folder))
    self.assertLen(set(fingerprints), 2)

  def test_what_cannot_be_written_has_to_be_given_again(self):
    def decode(z):
      return 1.0 / (1.0 + np.exp(-np.asarray(z) @ _WEIGHTS)).reshape(-1, 4, 18)

    made = generator.Generator(decode, latent_size=_SIZE)
    folder = self.create_tempdir().full_path
    writing.write(made, folder)
    self.assertFalse(generator.has_encoder(folder))
    self.assertIs(generator.load(folder, made), made)
    other = generator.Generator(lambda z: 1.0 - decode(z), latent_size=_SIZE)
    for given, sentence in ((None, "pass it"), (other, "not the generator")):
      with self.assertRaisesRegex(ValueError, sentence):
        generator.load(folder, given)


class FindTest(tf.test.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())

  def test_finds_ours(self):
    model = vae.VAE((8, 16, 1), 4, "mlp_small")
    storage.save(model, str(self.folder / "vae"))
    run_dir = str(self.folder)
    self.assertEqual(generator.find(run_dir), "vae")
    self.assertTrue(generator.has_encoder(run_dir))
    self.assertTrue(generator.can_encode(generator.load(run_dir)))
    before = generator.fingerprint(run_dir)
    self.assertEqual(
      before, files.checksum(str(self.folder / "vae" / storage.WEIGHTS))
    )
    model.set_weights([weight + 1 for weight in model.get_weights()])
    storage.save(model, str(self.folder / "vae"))
    self.assertNotEqual(generator.fingerprint(run_dir), before)

  def test_says_what_to_do_without_one(self):
    (self.folder / "vae").mkdir()  # Begun, but not trained.
    for function in (generator.find, generator.load, generator.fingerprint):
      with self.assertRaisesRegex(
        FileNotFoundError, "trainers.vae.*trainers.gan.*import_generator"
      ):
        function(str(self.folder))

  def test_refuses_several(self):
    for stage in ("vae", "gan"):
      (self.folder / stage).mkdir()
      (self.folder / stage / storage.WEIGHTS).touch()
    with self.assertRaisesRegex(ValueError, "several.*vae, gan"):
      generator.find(str(self.folder))


_MODULE = """
import tensorflow as tf

def decode(z):
  return tf.reshape(tf.sigmoid(tf.tile(z, [1, 4])), [-1, 4, 5])
"""


class SpecsTest(tf.test.TestCase):
  """A run recognises its generator, also in another folder."""

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())

  def _saved(self, name="model", scale=1.0):
    """Writes a SavedModel; returns the place of its decoder."""
    module = tf.Module()
    module.weights = tf.Variable(scale * _WEIGHTS)
    generate = tf.function(
      lambda z: {
        "x": tf.reshape(tf.sigmoid(z @ module.weights), [-1, *_SHAPE])
      },
      input_signature=[tf.TensorSpec([None, _SIZE], tf.float32, "z")],
    )
    path = str(self.folder / name)
    tf.saved_model.save(module, path, {"generate": generate})
    return {"kind": "saved_model", "path": path}

  def _import(self, spec, run="run"):
    """Writes a spec as the job does; returns the run folder."""
    folder = self.folder / run / "generator"
    folder.mkdir(parents=True)
    files.write_json(str(folder / specs.SPEC), spec)
    return str(self.folder / run)

  def test_refuses_one_that_has_gone_or_changed(self):
    place = self._saved()
    spec = generator.Generator.of_files(specs.draft(place)).spec
    self.assertEqual(json.loads(json.dumps(spec)), spec)
    run_dir = self._import(spec)
    path = pathlib.Path(place["path"])
    data = path / "variables" / "variables.data-00000-of-00001"
    content = data.read_bytes()
    data.write_bytes(bytes(reversed(content)))
    for function in (generator.load, generator.fingerprint):
      with self.assertRaisesRegex(ValueError, "has changed since"):
        function(run_dir)
    data.write_bytes(content)
    self.assertEqual(generator.load(run_dir).image_shape, _SHAPE)
    path.rename(self.folder / "elsewhere")
    with self.assertRaisesRegex(FileNotFoundError, "is gone"):
      generator.load(run_dir)

  def test_a_fingerprint_is_of_the_model_and_not_of_its_place(self):
    place = self._saved()
    spec = generator.Generator.of_files(specs.draft(place)).spec
    one = generator.fingerprint(self._import(spec, "one"))
    os.rename(place["path"], self.folder / "moved")
    # Relative to the spec's folder.
    spec["decode"]["path"] = os.path.join("..", "..", "moved")
    moved = self._import(spec, "two")
    self.assertEqual(generator.fingerprint(moved), one)
    self.assertEqual(generator.load(moved).image_shape, _SHAPE)
    other = self._saved("other", scale=2.0)
    for number, said in enumerate(({}, {"pixel_range": (-1, 2)})):
      drafted = specs.draft(other, **said)
      spec = generator.Generator.of_files(drafted).spec
      run_dir = self._import(spec, f"other {number}")
      self.assertNotEqual(generator.fingerprint(run_dir), one)

  def test_a_changed_module_is_refused(self):
    name = testing.write_module(self, self.folder, _MODULE)
    place = {"kind": "callable", "function": f"{name}:decode"}
    drafted = specs.draft(place, latent_size=_SIZE)
    run_dir = self._import(generator.Generator.of_files(drafted).spec)
    generator.load(run_dir)
    (self.folder / f"{name}.py").write_text(_MODULE + "\n# Better.\n")
    with self.assertRaisesRegex(ValueError, f"{name}:decode has changed"):
      generator.load(run_dir)

  def test_refuses_a_spec_of_another_format(self):
    run_dir = self._import({"format": 99})
    with self.assertRaisesRegex(ValueError, "format 99; this version reads 2"):
      generator.load(run_dir)
