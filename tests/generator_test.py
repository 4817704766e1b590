"""Tests of generators: any model's conventions, and what is refused."""

import json
import os
import pathlib
import sys
import uuid

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from absl.testing import parameterized

from lc_keras import files
from lc_keras.generators import generator
from lc_keras.generators import specs
from lc_keras.models import gan
from lc_keras.models import storage
from lc_keras.models import vae

tfd = tfp.distributions

_SHAPE = (4, 6, 3)
_SIZE = 5
_WEIGHTS = np.random.default_rng(0).normal(size=[_SIZE, 72]).astype(np.float32)
_BACK = np.linalg.pinv(_WEIGHTS)


def _share(latents):
  return tfd.Normal(0.0, 1.0).cdf(latents)


# How a model may take latents and give images: what is said of it, and what it
# does to latents before and to images after the analytic functions below.
_CONVENTIONS = {
  "ours": ({}, None),
  "symmetric": ({"pixel_range": (-1, 1)}, None),
  "bytes": ({"pixel_range": (0, 255)}, None),
  "channels_first": ({"layout": "channels_first"}, None),
  "shaped": ({"latent_shape": (1, 1, _SIZE)}, None),
  "uniform": ({"prior": "uniform"}, lambda z: 2.0 * _share(z) - 1.0),
  "unit_uniform": ({"prior": "unit_uniform"}, _share),
  "all": (
    {
      "pixel_range": (-1, 1),
      "layout": "channels_first",
      "latent_shape": (_SIZE, 1, 1),
      "prior": "unit_uniform",
    },
    _share,
  ),
}


def _images(latents):
  """The analytic decoder, of draws of N(0, I)."""
  flat = 0.1 * tf.matmul(latents, _WEIGHTS)
  return tf.reshape(tf.sigmoid(flat), [-1, *_SHAPE])


def _latents(images):
  """Its inverse."""
  flat = tf.reshape(images, [-1, 72])
  logits = tf.math.log(flat) - tf.math.log1p(-flat)
  return tf.matmul(10.0 * logits, _BACK)


def _model(said, own):
  """Returns decoder and encoder of a model that has these conventions."""
  low, high = said.get("pixel_range", (0, 1))
  is_first = said.get("layout") == "channels_first"
  inverse = {
    None: tf.identity,
    "uniform": lambda u: tf.math.ndtri((u + 1.0) / 2.0),
    "unit_uniform": tf.math.ndtri,
  }[said.get("prior")]

  def decode(latents):
    tf.debugging.assert_equal(
      tf.shape(latents)[1:], list(said.get("latent_shape", (_SIZE,)))
    )
    images = _images(inverse(tf.reshape(latents, [-1, _SIZE])))
    images = tf.transpose(images, [0, 3, 1, 2]) if is_first else images
    return tf.cast(images * (high - low) + low, tf.float64)

  def encode(pixels):
    pixels = tf.transpose(pixels, [0, 2, 3, 1]) if is_first else pixels
    latents = _latents((pixels - low) / (high - low))
    latents = own(latents) if own else latents
    return {"mean": tf.reshape(latents, [-1, *said.get("latent_shape", ())])}

  return decode, encode


class ConventionsTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.named_parameters(
    (name, *convention) for name, convention in _CONVENTIONS.items()
  )
  def test_the_same_images_under_all_conventions(self, said, own):
    shape = said.get("latent_shape", (_SIZE,))
    decode, encode = _model({"latent_shape": shape, **said}, own)
    layout = said.get("layout", "channels_last")
    # Functions of tensors of this shape, as a SavedModel's signatures are.
    signature = tf.function(
      lambda code: {"images": decode(code)},
      input_signature=[tf.TensorSpec([None, *shape], tf.float32, "code")],
    ).get_concrete_function()
    made = generator.Generator(
      _Signature(signature) if len(shape) > 1 else decode,
      encode,
      latent_size=None if len(shape) > 1 else _SIZE,
      prior=said.get("prior", "normal"),
      pixel_range=said.get("pixel_range", (0, 1)),
    )
    self.assertEqual(made.spec["layout"], layout)
    self.assertEqual((made.image_shape, made.latent_size), (_SHAPE, _SIZE))
    latents = tf.random.stateless_normal([7, _SIZE], (0, 0))
    images = made.decode(latents).mean()
    self.assertAllClose(images, _images(latents), atol=1e-5)
    self.assertEqual(images.dtype, tf.float32)
    posterior = made.encode(images)
    self.assertAllClose(posterior.mean(), latents, atol=2e-2)
    self.assertAllClose(posterior.stddev(), tf.fill([7, _SIZE], 0.1))
    self.assertEqual(made.prior.event_shape, [_SIZE])
    # As jobs run it: in a graph, for batches of any length.
    traced = tf.function(lambda z: made.encode(made.decode(z).mean()).mean())
    spec = tf.TensorSpec([None, _SIZE], tf.float32)
    found = traced.get_concrete_function(spec)(latents[:3])
    self.assertAllClose(found, latents[:3], atol=2e-2)

  def test_grey_images_may_have_no_channel(self):
    made = generator.Generator(
      lambda z: tf.reshape(tf.sigmoid(z), [-1, 4, 6]),
      lambda x: x,
      latent_size=24,
    )
    latents = tf.random.stateless_uniform([3, 24], (0, 0))
    images = made.decode(latents).mean()
    self.assertEqual(images.shape, [3, 4, 6, 1])
    self.assertAllClose(
      made.encode(images).mean(), tf.sigmoid(latents), atol=1e-6
    )

  @parameterized.named_parameters(
    ("mean", lambda m, s: m, 0.1),
    ("scale", lambda m, s: (m, s), 0.3),
    ("log_variance", lambda m, s: [m, 2.0 * tf.math.log(s)], 0.3),
    ("and_a_draw", lambda m, s: (m, 2.0 * tf.math.log(s), m + s), 0.3),
    ("dictionary", lambda m, s: {"sigma": s, "mu": m}, 0.3),
    ("distribution", lambda m, s: tfd.MultivariateNormalDiag(m, s), 0.3),
    ("halves", lambda m, s: tf.concat([m, 2.0 * tf.math.log(s)], -1), 0.3),
    ("scale_halves", lambda m, s: tf.concat([m, s], -1), 0.3),
  )
  def test_a_posterior_is_what_the_encoder_gives(self, give, scale):
    def encode(images):
      mean = _latents(images)
      return give(mean, tf.fill(tf.shape(mean), 0.3))

    made = generator.Generator(_images, encode, latent_size=_SIZE)
    latents = tf.random.stateless_normal([2, _SIZE], (0, 0))
    posterior = made.encode(_images(latents))
    self.assertAllClose(posterior.mean(), latents, atol=2e-2)
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

  @parameterized.named_parameters(
    ("prior", _images, {"prior": "cauchy"}, "Unknown prior 'cauchy'"),
    ("range", _images, {"pixel_range": (1, 0)}, "black, then that of white"),
    ("logits", lambda z: 9.0 * (_images(z) - 0.5), {}, "a sigmoid to them"),
    ("two", lambda z: (_images(z), z), {}, "several outputs"),
  )
  def test_refuses_with_the_reason(self, decode, said, sentence):
    with self.assertRaisesRegex(ValueError, sentence):
      generator.Generator(decode, latent_size=_SIZE, **said)

  def test_refuses_what_is_no_model(self):
    with self.assertRaisesRegex(TypeError, "is needed; got int"):
      generator.Generator(3)


class _Signature:
  """Looks like a signature of a loaded SavedModel."""

  def __init__(self, function):
    self._function = function
    self.structured_outputs = function.structured_outputs
    spec = function.structured_input_signature[0][0]
    self.structured_input_signature = (), {spec.name: spec}

  def __call__(self, **inputs):
    return self._function(*inputs.values())


class WriteTest(tf.test.TestCase, parameterized.TestCase):
  def _models(self):
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
    return decoder, keras.Model(pixels, [heads[0], heads[1]])

  def _said(self):
    return {"pixel_range": (-1, 1), "outputs": {"log_variance": "b"}}

  def test_models_are_the_same_when_read_again(self):
    decoder, encoder = self._models()
    functions = (
      tf.function(lambda z: decoder(z)),
      tf.function(lambda x: dict(zip(["mean", "b"], encoder(x)))),
    )
    latents = tf.random.stateless_normal([3, _SIZE], (0, 0))
    fingerprints = []
    for models in ((decoder, encoder), functions):
      said = {**self._said(), "latent_size": _SIZE}
      made = generator.Generator(*models, **said)
      folder = self.create_tempdir().full_path
      generator.write(made, folder)
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
      with tf.GradientTape() as tape:
        tape.watch(latents)
        made = again.decode(latents).mean()
      self.assertGreater(np.abs(tape.gradient(made, latents)).min(), 0.0)
      fingerprints.append(generator.fingerprint(folder))
    self.assertLen(set(fingerprints), 2)

  def test_our_own_are_written_as_their_trainers_do(self):
    model = vae.VAE((8, 16, 1), 4, "mlp")
    folder = self.create_tempdir().full_path
    generator.write(generator.Generator(model), folder)
    self.assertEqual(generator.find(folder), "vae")
    latents = np.ones([2, 4], np.float32)
    self.assertAllClose(
      generator.load(folder).decode(latents).mean(),
      generator.Generator(model).map(latents),
    )


def _complete(drafted):
  """Returns spec and notes of a model in files."""
  made = generator.Generator.of_files(drafted)
  return made.spec, made.notes


class _FolderTest(tf.test.TestCase, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())

  def _import(self, spec, run="run"):
    """Writes a spec where the job would; returns the run folder."""
    folder = self.folder / run / "generator"
    folder.mkdir(parents=True)
    files.write_json(str(folder / specs.SPEC), spec)
    return str(self.folder / run)

  def _module(self, text):
    """Writes a module that can be imported; returns its name."""
    name = f"theirs_{uuid.uuid4().hex}"
    (self.folder / f"{name}.py").write_text(text)
    sys.path.insert(0, str(self.folder))
    self.addCleanup(sys.path.remove, str(self.folder))
    return name

  def _saved_model(self, name="model", scale=1.0):
    """Writes a SavedModel that has 4 x 6 images in [-1, 1]."""
    module = tf.Module()
    module.weights = tf.Variable(scale * _WEIGHTS)

    @tf.function(
      input_signature=[tf.TensorSpec([None, 1, 1, _SIZE], tf.float32, "code")]
    )
    def generate(code):
      flat = tf.matmul(tf.reshape(code, [-1, _SIZE]), module.weights)
      return {"pixels": tf.reshape(tf.tanh(0.05 * flat), [-1, 3, 4, 6])}

    @tf.function(
      input_signature=[tf.TensorSpec([None, 3, 4, 6], tf.float32, "pixels")]
    )
    def embed(pixels):
      flat = tf.reshape(20.0 * tf.atanh(pixels), [-1, 72])
      mean = tf.matmul(flat, _BACK / scale)
      return {"m": mean, "lv": tf.zeros_like(mean)}

    path = str(self.folder / name)
    signatures = {"generate": generate, "embed": embed}
    tf.saved_model.save(module, path, signatures)
    return path

  def _draft(self, path, decode=(), encode=(), **said):
    return specs.draft(
      "saved_model",
      {"path": path, "signature": "generate", **dict(decode)},
      {
        "path": path,
        "signature": "embed",
        "outputs": {"mean": "m", "log_variance": "lv"},
        **dict(encode),
      },
      **{"pixel_range": (-1, 1), **said},
    )


class FindTest(_FolderTest):
  def test_finds_ours(self):
    model = vae.VAE((8, 16, 1), 4, "mlp")
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

  def test_a_gan_cannot_encode(self):
    model = gan.GAN((28, 28, 1), 4, "mlp")
    storage.save(model, str(self.folder / "gan"))
    self.assertEqual(generator.find(str(self.folder)), "gan")
    self.assertFalse(generator.has_encoder(str(self.folder)))
    self.assertFalse(generator.can_encode(generator.load(str(self.folder))))

  def test_says_what_to_do_without_one(self):
    (self.folder / "vae").mkdir()  # Begun, and nothing trained.
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


class SavedModelTest(_FolderTest):
  def test_is_what_it_was(self):
    path = self._saved_model()
    model = generator.Generator.of_files(self._draft(path))
    spec, notes = model.spec, model.notes
    self.assertEqual(spec["image_shape"], [4, 6, 3])
    self.assertEqual(spec["layout"], "channels_first")
    self.assertEqual(spec["latent_shape"], [1, 1, _SIZE])
    self.assertIn("pixels from -", notes[0])
    run_dir = self._import(spec)
    self.assertEqual(generator.find(run_dir), "generator")
    self.assertTrue(generator.has_encoder(run_dir))
    model = generator.load(run_dir)
    self.assertTrue(model.exportable)
    latents = tf.random.stateless_normal([3, _SIZE], (0, 0))
    expected = tf.reshape(tf.sigmoid(0.1 * latents @ _WEIGHTS), [-1, 3, 4, 6])
    images = model.decode(latents).mean()
    self.assertAllClose(images, tf.transpose(expected, [0, 2, 3, 1]), atol=1e-5)
    self.assertAllClose(model.encode(images).mean(), latents, atol=1e-2)
    self.assertAllClose(model.encode(images).stddev(), np.ones([3, _SIZE]))

  def test_one_signature_needs_no_names(self):
    module = tf.Module()
    generate = tf.function(
      lambda code: {"out": tf.reshape(tf.sigmoid(code), [-1, 4, 6])},
      input_signature=[tf.TensorSpec([None, 24], tf.float32, "code")],
    )
    module.generate = generate
    path = str(self.folder / "one")
    tf.saved_model.save(module, path, {"serving_default": generate})
    spec, _ = _complete(specs.draft("saved_model", {"path": path}))
    self.assertEqual(spec["decode"]["signature"], "serving_default")
    self.assertEqual(spec["decode"]["outputs"], {"images": "out"})
    self.assertEqual(spec["image_shape"], [4, 6, 1])
    self.assertFalse(generator.has_encoder(self._import(spec)))

  @parameterized.parameters(
    ({"signature": None}, {}, {}, "several signatures.*embed: pixels float32"),
    (
      {"signature": "decode"},
      {},
      {},
      r"generate: code float32 \[\?, 1, 1, 5\]",
    ),
    ({"input": "z"}, {}, {}, "no input 'z'.*--decode_input"),
    ({"outputs": {"images": "x"}}, {}, {}, r"'x'.*pixels float32 \[16, 3, 4"),
    ({"signature": "embed"}, {}, {}, "several outputs.*lv float32"),
    ({}, {"outputs": {}}, {}, "several outputs.*mean.*--encode_mean.*lv"),
    ({}, {"outputs": {"mean": "x"}}, {}, "no output 'x'"),
    ({}, {"signature": "generate"}, {}, "failed when it was asked to encode"),
    ({}, {"outputs": {"mean": "m", "scale": "lv"}}, {}, "log-variance"),
    ({}, {}, {"pixel_range": (0, 1)}, "does not fit --pixel_range=0,1"),
    ({}, {}, {"pixel_range": (0, 255)}, "does not fit --pixel_range=0,255"),
    ({}, {}, {"latent_size": 4}, r"\[\?, 1, 1, 5\]: leave --latent_size=4"),
  )
  def test_says_what_is_wrong_and_what_there_is(
    self, decode, encode, said, sentence
  ):
    draft = self._draft(self._saved_model(), decode, encode, **said)
    with self.assertRaisesRegex(ValueError, f"(?s){sentence}"):
      _complete(draft)

  def test_says_where_none_is(self):
    with self.assertRaisesRegex(FileNotFoundError, "no SavedModel.*nowhere"):
      _complete(self._draft(str(self.folder / "nowhere")))

  def test_refuses_a_damaged_one(self):
    path = pathlib.Path(self._saved_model())
    (path / "saved_model.pb").write_bytes(b"nothing of the kind")
    with self.assertRaisesRegex(ValueError, "cannot be loaded by TensorFlow"):
      _complete(self._draft(str(path)))

  def test_refuses_one_that_has_gone_or_changed(self):
    path = pathlib.Path(self._saved_model())
    run_dir = self._import(_complete(self._draft(str(path)))[0])
    data = path / "variables" / "variables.data-00000-of-00001"
    content = data.read_bytes()
    data.write_bytes(bytes(reversed(content)))
    for function in (generator.load, generator.fingerprint):
      with self.assertRaisesRegex(ValueError, "has changed since"):
        function(run_dir)
    data.write_bytes(content)
    generator.load(run_dir)
    path.rename(self.folder / "elsewhere")
    with self.assertRaisesRegex(FileNotFoundError, "is gone"):
      generator.load(run_dir)

  def test_a_fingerprint_is_of_the_model_and_not_of_its_place(self):
    path = self._saved_model()
    spec, _ = _complete(self._draft(path))
    one = generator.fingerprint(self._import(spec, "one"))
    os.rename(path, self.folder / "moved")
    for part in ("decode", "encode"):
      # Relative to the spec's folder.
      spec[part]["path"] = os.path.join("..", "..", "moved")
    moved = self._import(spec, "two")
    self.assertEqual(generator.fingerprint(moved), one)
    self.assertEqual(generator.load(moved).image_shape, (4, 6, 3))
    other = self._saved_model("other", scale=2.0)
    spec, _ = _complete(self._draft(other))
    self.assertNotEqual(generator.fingerprint(self._import(spec, "3")), one)
    spec, _ = _complete(self._draft(other, posterior_scale=0.2))
    self.assertNotEqual(generator.fingerprint(self._import(spec, "4")), one)

  def test_refuses_a_spec_of_another_format(self):
    run_dir = self._import({"format": 99})
    with self.assertRaisesRegex(ValueError, "format 99; this version reads 1"):
      generator.load(run_dir)


class KerasTest(_FolderTest):
  def _write(self, name, *layers):
    model = keras.Sequential(layers)
    path = str(self.folder / name)
    model.save(path)
    return path

  def test_decoder_and_encoder(self):
    decoder = self._write(
      "decoder.keras",
      keras.Input([_SIZE]),
      keras.layers.Dense(24, "sigmoid"),
      keras.layers.Reshape([4, 6, 1]),
    )
    pixels = keras.Input([4, 6, 1])
    flat = keras.layers.Flatten()(pixels)
    outputs = [
      keras.layers.Dense(_SIZE, name=name)(flat) for name in ("mu", "log_var")
    ]
    encoder = str(self.folder / "encoder.keras")
    keras.Model(pixels, outputs).save(encoder)
    spec, _ = _complete(
      specs.draft(
        "keras",
        {"path": decoder},
        {
          "path": encoder,
          "outputs": {"mean": "mu", "log_variance": "log_var"},
        },
      )
    )
    model = generator.load(self._import(spec))
    images = model.decode(tf.zeros([3, _SIZE])).mean()
    self.assertEqual(images.shape, [3, 4, 6, 1])
    self.assertEqual(model.encode(images).mean().shape, [3, _SIZE])
    pathlib.Path(encoder).unlink()
    with self.assertRaisesRegex(FileNotFoundError, "is gone"):
      generator.load(str(self.folder / "run"))

  def test_code_in_the_file_is_not_run(self):
    path = self._write(
      "decoder.keras",
      keras.Input([_SIZE]),
      keras.layers.Lambda(lambda z: z),
    )
    with self.assertRaisesRegex(ValueError, "without running code of its own"):
      _complete(specs.draft("keras", {"path": path}))

  def test_refuses_other_files(self):
    path = self.folder / "decoder.keras"
    with self.assertRaisesRegex(FileNotFoundError, "no file"):
      _complete(specs.draft("keras", {"path": str(path)}))
    path.write_text("no model")
    with self.assertRaisesRegex(ValueError, "cannot be opened"):
      _complete(specs.draft("keras", {"path": str(path)}))


_NUMPY = """
import numpy as np

WEIGHTS = np.linspace(-1.0, 1.0, 120).reshape(5, 24)

def decode(z):
  assert isinstance(z, np.ndarray)
  return 255.0 / (1.0 + np.exp(-z @ WEIGHTS)).reshape(-1, 4, 6)

def encode(x):
  mean = x.reshape(-1, 24)[:, :5] / 255.0
  return mean, np.full_like(mean, 0.3)

LIST = [1]
"""

_TENSORFLOW = """
import tensorflow as tf

def decode(z):
  return tf.reshape(tf.sigmoid(tf.tile(z, [1, 4])), [-1, 4, 5])
"""


class CallableTest(_FolderTest):
  def _complete(self, decode, encode=None, **said):
    return _complete(
      specs.draft(
        "callable",
        {"function": decode},
        encode and {"function": encode},
        **{"latent_size": _SIZE, **said},
      )
    )

  def test_functions_of_arrays(self):
    name = self._module(_NUMPY)
    spec, _ = self._complete(
      f"{name}:decode", f"{name}:encode", pixel_range=(0, 255)
    )
    self.assertEqual(json.loads(json.dumps(spec)), spec)
    model = generator.load(self._import(spec))
    self.assertFalse(model.exportable)
    latents = tf.random.stateless_normal([3, _SIZE], (0, 0))
    decode = tf.function(lambda z: model.decode(z).mean(), autograph=False)
    weights = np.linspace(-1.0, 1.0, 120).reshape(5, 24)
    expected = 1.0 / (1.0 + np.exp(-latents.numpy() @ weights))
    images = decode(latents)
    self.assertAllClose(images, expected.reshape(3, 4, 6, 1), atol=1e-5)
    posterior = model.encode(images)
    self.assertAllClose(posterior.mean(), expected[:, :5], atol=1e-5)
    self.assertAllClose(posterior.stddev(), np.full([3, _SIZE], 0.3))

  def test_functions_of_tensors_can_be_exported(self):
    spec, _ = self._complete(f"{self._module(_TENSORFLOW)}:decode")
    model = generator.load(self._import(spec))
    self.assertTrue(model.exportable)
    with tf.GradientTape() as tape:
      latents = tf.zeros([3, _SIZE])
      tape.watch(latents)
      images = model.decode(latents).mean()
    self.assertNotAllClose(tape.gradient(images, latents), latents)

  def test_a_changed_module_is_refused(self):
    name = self._module(_TENSORFLOW)
    run_dir = self._import(self._complete(f"{name}:decode")[0])
    generator.load(run_dir)
    (self.folder / f"{name}.py").write_text(_TENSORFLOW + "\n# Better.\n")
    with self.assertRaisesRegex(ValueError, f"{name}:decode has changed"):
      generator.load(run_dir)

  @parameterized.parameters(
    ("np.full([len(z), 4, 6], 0.5)", "the same image of all latent vectors"),
    ("np.full([len(z), 4, 6], np.nan)", "100% of the images as NaN"),
    ("z", r"shape \[16, 5\]: expected \[batch, height"),
    ("np.tile(z, [1, 24]).reshape(-1, 4, 6, 5)", "1 or 3"),
    ("np.array([['text']])", "numbers are needed"),
    ("np.random.rand(2, 4, 6)", "2 images of 16 latent vectors"),
    ("z[:, 99]", "asked to decode.*IndexError"),
    ("(z, z)", "several outputs"),
  )
  def test_says_what_is_wrong_with_images(self, made, sentence):
    name = self._module(
      f"import numpy as np\n\ndef decode(z):\n  return {made}\n"
    )
    with self.assertRaisesRegex(ValueError, f"(?s){sentence}"):
      self._complete(f"{name}:decode")

  def test_warns_of_chance(self):
    name = self._module(
      "import numpy as np\n\n"
      "def decode(z):\n  return np.random.rand(len(z), 4, 6)\n"
    )
    _, notes = self._complete(f"{name}:decode")
    self.assertIn("gave another image", " ".join(notes))

  def test_says_what_can_be_called(self):
    name = self._module(_NUMPY)
    for function, sentence in (
      ("decode", "'decode' does not say where a function"),
      ("nobody.knows:decode", "no module 'nobody'"),
      (f"{name}:paint", "no 'paint' in .*: choose one of decode, encode"),
      (f"{name}:LIST", "type list, and no function"),
    ):
      with self.assertRaisesRegex(ValueError, sentence):
        self._complete(function)

  def test_needs_to_know_the_size_of_latents(self):
    name = self._module(_NUMPY)
    with self.assertRaisesRegex(ValueError, "give latent_size"):
      self._complete(f"{name}:decode", latent_size=None)


if __name__ == "__main__":
  tf.test.main()
