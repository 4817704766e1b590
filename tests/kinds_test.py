"""Tests of the kinds of model files that a generator supports, and errors."""

import importlib.util
import json
import pathlib
import sys
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from absl.testing import parameterized

from lc_keras import imports
from lc_keras.generators import generator
from lc_keras.generators import kinds
from lc_keras.generators import specs
from lc_keras.generators import torch_module
from tests import testing
from tests import torch_stand_in

_SIZE = 4

# Custom layers, as in the tutorials of Keras.
_LAYERS = """
import {keras} as keras
import tensorflow as tf

class Sampling(keras.layers.Layer):
  def call(self, inputs):
    mean, log_variance = inputs
    return mean + tf.exp(0.5 * log_variance) * tf.random.normal(tf.shape(mean))
"""

_FUNCTIONS = """
import numpy as np

def decode(z, bright=0.0):
  assert isinstance(z, np.ndarray)
  return 255.0 / (1.0 + np.exp(-np.tile(z, [1, 6]) - bright)).reshape(-1, 4, 6)

def encode(x):
  mean = x.reshape(-1, 24)[:, :4] / 255.0
  return mean, np.full_like(mean, 0.3)

LIST = [1]
"""


def _decoder(library=keras, activation="sigmoid"):
  layers = library.layers
  return library.Sequential(
    [
      layers.InputLayer((_SIZE,)),
      layers.Dense(24, activation),
      layers.Reshape([4, 6, 1]),
    ]
  )


def _encoder(sampling, library=keras):
  """Returns [mean, log-variance, draw], as the VAE of keras.io."""
  pixels = library.Input([4, 6, 1])
  flat = library.layers.Flatten()(pixels)
  mean, log_variance = (
    library.layers.Dense(_SIZE, name=name)(flat) for name in ("m", "lv")
  )
  drawn = sampling()([mean, log_variance])
  return library.Model(pixels, [mean, log_variance, drawn])


class _KindsTest(tf.test.TestCase, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir())

  def _path(self, name):
    return str(self.folder / name)

  def _module(self, text):
    return testing.write_module(self, self.folder, text)

  def _open(self, decoder, encoder=None, **said):
    """Opens a model in files as the job does, then as a run does."""
    places = [kinds.place_of(one) for one in (decoder, encoder) if one]
    for place in places:
      place |= said.pop("place", {})
    made = generator.Generator.of_files(specs.draft(*places, **said))
    noted = json.loads(json.dumps(made.spec))
    again = generator.Generator.of_files(noted)
    self.assertEqual(again.exportable, made.exportable)
    latents = tf.random.stateless_normal([3, made.latent_size], (0, 0))
    self.assertAllClose(again.map(latents), made.map(latents))
    return made


class KerasTest(_KindsTest):
  @parameterized.parameters(
    (keras, "decoder.keras"), (tf_keras, "decoder.keras"), (tf_keras, "d.h5")
  )
  def test_a_file_with_layers_of_its_own(self, library, name):
    module = self._module(_LAYERS.format(keras=library.__name__))
    decoder, encoder = self._path(name), self._path(f"encoder_{name}")
    _decoder(library).save(decoder)
    sampling = imports.module(module).Sampling
    _encoder(sampling, library).save(encoder)
    with self.assertRaisesRegex(ValueError, "Sampling.*--custom_objects="):
      self._open(decoder, encoder)
    place = {"custom_objects": module}
    drafted = specs.draft(
      kinds.place_of(decoder), kinds.place_of(encoder) | place
    )
    made = generator.Generator.of_files(drafted)
    images = tf.random.stateless_uniform([2, 4, 6, 1], (0, 0))
    model = library.models.load_model(
      encoder, {"Sampling": sampling}, compile=False
    )
    mean, log_variance, _ = model(images)
    self.assertAllClose(made.encode(images).mean(), mean, atol=1e-5)
    self.assertAllClose(
      made.encode(images).stddev(), tf.exp(0.5 * log_variance), atol=1e-5
    )

  def test_a_whole_autoencoder_is_taken_apart(self):
    pixels = keras.Input([4, 6, 1])
    encoder = keras.Sequential(
      [keras.Input([4, 6, 1]), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    decoder = _decoder()
    path = self._path("vae.keras")
    keras.Model(pixels, decoder(encoder(pixels))).save(path)
    made = self._open(path)
    self.assertTrue(generator.can_encode(made))
    self.assertIn("whole autoencoder", " ".join(made.notes))
    images = tf.random.stateless_uniform([2, 4, 6, 1], (0, 0))
    self.assertAllClose(made.encode(images).mean(), encoder(images), atol=1e-5)
    plain = keras.Sequential(
      [
        keras.Input([4, 6, 1]),
        keras.layers.Dense(3, "relu"),
        keras.layers.Dense(1, "sigmoid"),
      ]
    )
    with self.assertRaisesRegex(ValueError, "a whole autoencoder, and not"):
      generator.Generator(plain)
    with self.assertRaisesRegex(ValueError, "is an encoder, and not a decoder"):
      generator.Generator(encoder)
    with self.assertRaisesRegex(ValueError, "latent vector: it is a decoder"):
      generator.Generator(decoder, decoder)

  @parameterized.parameters("mixed_bfloat16", "mixed_float16")
  def test_other_types_of_numbers(self, policy):
    keras.config.set_dtype_policy(policy)
    self.addCleanup(keras.config.set_dtype_policy, "float32")
    made = generator.Generator(_decoder())
    self.assertEqual(made.map(np.zeros([1, _SIZE])).dtype, np.float32)

  def test_other_inputs_are_held(self):
    z, label = keras.Input([_SIZE], name="z"), keras.Input([3], name="class")
    joined = keras.layers.Concatenate()([z, label])
    layers = [keras.layers.Dense(24, "tanh"), keras.layers.Reshape([4, 6, 1])]
    made = joined
    for layer in layers:
      made = layer(made)
    model = keras.Model([z, label], made)
    rows = tf.random.stateless_normal([2, _SIZE], (0, 0))
    for value in (2, np.array([0.0, 0.0, 1.0])):
      made = generator.Generator(model, fixed={"class": value})
      expected = model([rows, tf.constant([[0.0, 0, 1]] * 2)]) / 2 + 0.5
      self.assertAllClose(made.map(rows), expected, atol=1e-5)
    for held, sentence in (
      ({}, r"class float32 \[\?, 3\]: .*--fixed=class:VALUE"),
      ({"clas": 2}, "no input 'clas' that could be fixed"),
      ({"class": 3}, "a whole number from 0 to 2.*got 3"),
      ({"class": np.ones(2)}, r"rows of shape \[3\]"),
      ({"class": 1, "z": 0.0}, "one input must be left"),
    ):
      with self.assertRaisesRegex(ValueError, sentence):
        generator.Generator(model, fixed=held)
    with self.assertRaisesRegex(FileNotFoundError, r"no file 'cat'.*\.npy"):
      generator.Generator(model, fixed={"class": "cat"})

  def test_an_input_of_whole_numbers_is_held_at_one(self):
    inputs = keras.Input([_SIZE]), keras.Input([1], dtype="int32", name="class")
    code = keras.layers.Flatten()(keras.layers.Embedding(3, _SIZE)(inputs[1]))
    made = keras.layers.Dense(24, "tanh")(inputs[0] + code)
    model = keras.Model(inputs, keras.layers.Reshape([4, 6, 1])(made))
    self.assertIsNotNone(generator.Generator(model, fixed={"class": 2.0}))
    with self.assertRaisesRegex(
      ValueError, "whole numbers; it is fixed at 1.5"
    ):
      generator.Generator(model, fixed={"class": 1.5})


class SavedModelTest(_KindsTest):
  def _save(self, *functions, name="model"):
    """Writes a SavedModel whose signatures have other names."""
    module = tf.Module()
    signatures = {f.__name__: f for f in functions}
    signatures = {
      name: tf.function(
        function, [tf.TensorSpec(function.shape, tf.float32, "x")]
      )
      for name, function in signatures.items()
    }
    tf.saved_model.save(module, self._path(name), signatures)
    return self._path(name)

  def _functions(self):
    def generate(x):
      flat = tf.reshape(tf.tanh(tf.tile(x, [1, 18, 1, 1])), [-1, 3, 4, 6])
      return {"pixels": flat}

    def embed(x):
      mean = tf.atanh(tf.reshape(x, [-1, 72])[:, :_SIZE])
      return {"m": mean, "lv": tf.zeros_like(mean)}

    generate.shape, embed.shape = [None, _SIZE, 1, 1], [None, 3, 4, 6]
    return generate, embed

  def test_two_signatures_of_one_in_their_own_shapes(self):
    path = self._save(*self._functions())
    with self.assertRaisesRegex(ValueError, r"(?s)several sig.*\n  embed: x"):
      self._open(path)
    place = {"kind": "saved_model", "path": path}
    encode = {**place, "signature": "embed"}
    drafted = specs.draft({**place, "signature": "generate"}, encode)
    with self.assertRaisesRegex(ValueError, "(?s)several.*encode_mean.*lv"):
      generator.Generator.of_files(drafted)
    encode["outputs"] = {"mean": "m", "log_variance": "lv"}
    drafted = specs.draft({**place, "signature": "generate"}, encode)
    made = generator.Generator.of_files(drafted)
    self.assertEqual((made.image_shape, made.latent_size), ((4, 6, 3), _SIZE))
    latents = 0.5 * tf.random.stateless_normal([2, _SIZE], (0, 0))
    images = made.decode(latents).mean()
    self.assertAllClose(made.encode(images).mean(), latents, atol=1e-3)
    self.assertAllClose(made.encode(images).stddev(), tf.ones([2, _SIZE]))
    for outputs, sentence in (
      ({"mean": "x"}, "no output 'x'"),
      ({"mean": "m", "scale": "lv", "log_variance": "m"}, "not both"),
      ({"mean": "m", "scale": "lv"}, "above 0. Is it a log-variance"),
    ):
      encode["outputs"] = outputs
      with self.assertRaisesRegex(ValueError, sentence):
        generator.Generator.of_files(specs.draft(drafted["decode"], encode))

  def test_what_was_loaded_and_its_signatures(self):
    loaded = tf.saved_model.load(self._save(self._functions()[0]))
    for model in (loaded, loaded.signatures["generate"]):
      self.assertEqual(generator.Generator(model).image_shape, (4, 6, 3))
    several = tf.saved_model.load(self._save(*self._functions(), name="two"))
    with self.assertRaisesRegex(ValueError, "several signatures"):
      generator.Generator(several)

  def test_signatures_of_our_names_need_not_be_named(self):
    functions = self._functions()
    for function, name in zip(functions, ("decode", "encode")):
      function.__name__ = name
    path = self._save(*functions)
    place = kinds.place_of(path)
    with self.assertRaisesRegex(ValueError, "(?s)several.*encode_mean"):
      generator.Generator(path)
    made = generator.Generator(path, outputs={"mean": "m"})
    self.assertTrue(generator.can_encode(made))
    drafted = specs.draft({**place, "signature": "decode"})
    made = generator.Generator.of_files(drafted)
    self.assertFalse(generator.can_encode(made))

  def test_graphs_are_told_apart_by_their_tags(self):
    path = self._path("old")
    builder = tf.compat.v1.saved_model.Builder(path)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      z = tf.compat.v1.placeholder(tf.float32, [None, _SIZE], "z")
      share = tf.compat.v1.placeholder(tf.float32, [], "truncation")
      images = tf.reshape(tf.sigmoid(tf.tile(share * z, [1, 6])), [-1, 4, 6])
      signature = tf.compat.v1.saved_model.predict_signature_def(
        {"z": z, "truncation": share}, {"images": images}
      )
      signatures = {"default": signature}
      builder.add_meta_graph_and_variables(
        session, ["train"], signature_def_map=signatures
      )
      builder.add_meta_graph([], signature_def_map=signatures)
    builder.save()
    with self.assertRaisesRegex(ValueError, r"--tags.*\[\['train'\], \[\]\]"):
      self._open(path)
    made = self._open(path, place={"tags": []}, fixed={"truncation": 0.5})
    latents = tf.random.stateless_normal([2, _SIZE], (0, 0))
    expected = tf.reshape(
      tf.sigmoid(0.5 * tf.tile(latents, [1, 6])), [-1, 4, 6]
    )
    self.assertAllClose(made.map(latents)[..., 0], expected, atol=1e-5)

  def test_says_where_none_is_or_why_it_does_not_open(self):
    path = pathlib.Path(self._save(self._functions()[0], name="versions/7"))
    with self.assertRaisesRegex(ValueError, "folders below it, 7: name one"):
      self._open(str(path.parent))
    with self.assertRaisesRegex(ValueError, "no SavedModel .*saved_model.pb"):
      self._open(str(self.folder))
    (path / "saved_model.pb").write_bytes(b"nothing of the kind")
    with self.assertRaisesRegex(ValueError, "cannot be loaded by TensorFlow"):
      self._open(str(path))

  def test_mixed_kinds(self):
    path = self._path("encoder")
    encoder = keras.Sequential(
      [keras.Input([4, 6, 1]), keras.layers.Flatten(), keras.layers.Dense(8)]
    )
    encoder.export(path, verbose=False)
    decoder = self._path("decoder.h5")
    _decoder(tf_keras).save(decoder)
    made = self._open(decoder, path)
    self.assertTrue(generator.can_encode(made) and made.exportable)


class FunctionTest(_KindsTest):
  def test_functions_of_arrays(self):
    name = self._module(_FUNCTIONS)
    made = self._open(
      f"{name}:decode",
      f"{name}:encode",
      latent_size=_SIZE,
      fixed={"bright": 1.0},
    )
    latents = tf.random.stateless_normal([3, _SIZE], (0, 0))
    decode = tf.function(lambda z: made.decode(z).mean(), autograph=False)
    expected = tf.reshape(tf.sigmoid(tf.tile(latents, [1, 6]) + 1.0), [3, 4, 6])
    images = decode(latents)
    self.assertAllClose(images[..., 0], expected, atol=1e-5)
    posterior = made.encode(images)
    self.assertAllClose(posterior.mean(), images[:, 0, :4, 0], atol=1e-5)
    self.assertAllClose(posterior.stddev(), np.full([3, _SIZE], 0.3))

  def test_says_what_can_be_called(self):
    name = self._module(_FUNCTIONS)
    for text, sentence in (
      ("nobody.knows:decode", "no module 'nobody'"),
      (f"{name}:paint", "no 'paint' in .*: choose one of decode, encode"),
      (f"{name}:LIST", "type list, and no function"),
    ):
      with self.assertRaisesRegex(ValueError, sentence):
        self._open(text, latent_size=_SIZE)

  def test_a_function_of_a_signature_says_its_shape(self):
    shape = [tf.TensorSpec([None, _SIZE], tf.float64)]
    function = tf.function(
      lambda z: tf.reshape(tf.sigmoid(tf.tile(z, [1, 6])), [-1, 4, 6]), shape
    )
    for model in (function, function.get_concrete_function()):
      self.assertEqual(generator.Generator(model).latent_size, _SIZE)


class TritonTest(parameterized.TestCase):
  @parameterized.parameters(True, False)
  def test_it_is_kept_out_for_pytorch_and_for_nobody_else(self, has_torch):
    with (
      mock.patch.dict(sys.modules),
      mock.patch.object(importlib.util, "find_spec", lambda _: has_torch),
    ):
      sys.modules.pop("triton", None)
      torch_module.keep_triton_out()
      self.assertEqual("triton" in sys.modules, has_torch)


class TorchTest(_KindsTest):
  def setUp(self):
    super().setUp()
    self.enter_context(torch_stand_in.installed())
    import torch

    self.torch = torch

  def _module_of(self, *sizes):
    nn = self.torch.nn
    return nn.Sequential(
      nn.Linear(_SIZE, 72), nn.Tanh(), nn.Unflatten(1, sizes)
    )

  def test_a_module_and_functions_of_its_tensors(self):
    module = self._module_of(3, 4, 6)
    made = generator.Generator(module, latent_size=_SIZE)
    self.assertFalse(module.training)
    self.assertEqual(made.image_shape, (4, 6, 3))
    latents = np.random.default_rng(0).normal(size=[2, _SIZE]).astype("f")
    for function in (
      module.forward,
      lambda z: module(z),
      lambda z: module(self.torch.as_tensor(z)),
    ):
      other = generator.Generator(function, latent_size=_SIZE)
      self.assertAllClose(other.map(latents), made.map(latents), atol=1e-6)
      self.assertFalse(other.exportable or other.differentiable)

  def test_a_program_with_a_constant_for_an_input_is_refused(self):
    rows = self.torch.zeros(2, _SIZE)
    program = torch_stand_in.Program(self._module_of(3, 4, 6), rows, [0])
    program.graph_signature.user_inputs.append(0.5)
    with self.assertRaisesRegex(ValueError, "exported with 0.5 as an input"):
      generator.Generator(program)

  def test_an_autoencoder_brings_its_methods(self):
    module = self._module_of(3, 4, 6)
    linear = self.torch.nn.Linear(72, 2 * _SIZE)

    class Autoencoder(self.torch.nn.Module):
      # Parts of a real autoencoder's methods, which must not be used alone.
      decoder, encoder = None, None

      def decode(self, z):
        return {"sample": module(z)}

      def encode(self, x):
        return linear(x.reshape(-1, 72))

      def forward(self, x):
        return self.decode(self.encode(x))

    made = generator.Generator(Autoencoder(), latent_size=_SIZE)
    self.assertTrue(generator.can_encode(made))
    images = made.map(np.zeros([2, _SIZE]))
    self.assertEqual(made.encode(images).mean().shape, [2, _SIZE])

  def test_what_cannot_become_an_array_says_so(self):
    class Stubborn:
      dtype, shape = "torch.float32", (3, 8, 8, 3)

      def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Use tensor.detach().numpy() instead.")

    with self.assertRaisesRegex(ValueError, "a Stubborn, cannot be read as"):
      generator.Generator(lambda z: Stubborn(), latent_size=_SIZE)


class OtherFilesTest(_KindsTest):
  @parameterized.parameters(
    ("weights.safetensors", "weights only, and no model"),
    ("weights.weights.h5", "weights only"),
    ("weights.pth", "a file of torch.save"),
    ("network.pkl", "a pickle, which runs code"),
    ("model.tflite", "TensorFlow Lite"),
    ("model.keras", "cannot be opened as a model"),
    ("notes.txt", "cannot be opened as a model"),
  )
  def test_says_what_a_file_is_and_what_would_work(self, name, sentence):
    (self.folder / name).write_bytes(b"no model")
    with self.assertRaisesRegex(ValueError, f"{sentence}.*my_module:my_func"):
      self._open(self._path(name))

  def test_a_damaged_onnx_file(self):
    (self.folder / "model.onnx").write_bytes(b"no model")
    with self.assertRaisesRegex(ValueError, "ONNX Runtime"):
      self._open(self._path("model.onnx"))
