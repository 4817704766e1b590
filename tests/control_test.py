"""Tests of control: any generator, in memory or in a folder."""

import contextlib
import os
import pathlib
import shutil
import warnings

import numpy as np
import pandas as pd
import tensorflow as tf
from absl.testing import parameterized

import lc_keras
from lc_keras import fit
from lc_keras import parts
from lc_keras import recipes
from lc_keras.learning import learned_constraints
from tests import tiny_run

_QUICK = {"width": 16, "depth": 1, "folds": 2, "steps": 60, "rounds": 2}
_SMALL = {"steps": 300, "width": 32, "depth": 2, "learning_rate": 1e-2}
_RECIPES = (
  recipes.Attributes(**_SMALL),
  recipes.Flow(**_SMALL),
  recipes.Actor(
    **_SMALL,
    critic_steps=1,
    imitation_weight=100.0,
    lessons=500,
    attribute_weight=10.0,
  ),
)
_SIZE = 3
_SHAPE = (4, 6, 1)
_WEIGHTS = np.random.default_rng(0).normal(size=[_SIZE, 24]).astype(np.float32)


def _decode(latents):
  """A decoder of arrays, with an inverse."""
  return 1.0 / (1.0 + np.exp(-latents @ _WEIGHTS)).reshape(-1, *_SHAPE)


def _encode(images):
  logits = np.log(images) - np.log1p(-images)
  return logits.reshape(-1, 24) @ np.linalg.pinv(_WEIGHTS)


def _tensors():
  """The same, of tensors."""
  back = np.linalg.pinv(_WEIGHTS)

  def decode(latents):
    return tf.reshape(tf.sigmoid(latents @ _WEIGHTS), [-1, *_SHAPE])

  def encode(images):
    flat = tf.reshape(images, [-1, 24])
    return (tf.math.log(flat) - tf.math.log1p(-flat)) @ back

  return lc_keras.Generator(decode, encode, latent_size=_SIZE)


def _faces(count=600):
  """Returns images, and labels by the signs of their first two latents."""
  latents = np.random.default_rng(1).normal(size=[count, _SIZE])
  labels = (latents[:, :2] > 0.0).astype(np.float32)
  return _decode(latents).astype(np.float32), labels


class _Unwilling:
  """Cannot become an array, as a tensor on another device."""

  def __array__(self, *_, **__):
    raise TypeError("not on this machine")


def _brightness(images):
  return images.mean(axis=(1, 2, 3))


class InMemoryTest(tf.test.TestCase, parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls._control = lc_keras.LatentConstraints(_tensors(), ["Smiling", "Male"])
    cls._images, cls._labels = _faces()
    cls._histories = cls._control.fit(
      cls._images, cls._labels, recipes=_RECIPES, verbose=0
    )

  def test_fit_trains_three_models_and_tells_how(self):
    self.assertEqual(list(self._histories), ["attributes", "flow", "actor_0.1"])
    for history in self._histories.values():
      self.assertLen(history.epoch, 10)
    losses = self._histories["attributes"].history["val_loss"]
    self.assertLess(min(losses), 0.3)
    self.assertLen(self._control.parts.latents["train"], 540)

  def test_samples_and_edits_match_the_request(self):
    made = self._control.sample("Smiling, not Male", n=64, seed=0)
    self.assertAllEqual(made.steps, np.ones(64))
    self.assertGreater((made.latents[:, 0] > 0).mean(), 0.8)
    self.assertLess((made.latents[:, 1] > 0).mean(), 0.2)
    edited = self._control.transform(self._images[:64], "Smiling")
    self.assertGreater((edited.latents[:, 0] > 0).mean(), 0.8)
    kept = (edited.latents[:, 1] > 0) == (self._labels[:64, 1] > 0)
    self.assertGreater(kept.mean(), 0.8)

  def test_what_is_saved_is_the_same_when_loaded(self):
    folder = os.path.join(self.create_tempdir().full_path, "mine")
    made = self._control.sample("Smiling, not Male", n=5, seed=2)
    self._control.save(folder)
    loaded = lc_keras.load(folder)
    self.assertCountEqual(
      loaded.attributes.names, self._control.attributes.names
    )
    again = loaded.sample("Smiling, not Male", n=5, seed=2)
    self.assertAllClose(again.latents, made.latents, atol=1e-4)
    self.assertAllClose(again.images, made.images, atol=1e-5)

  def test_labels_name_images_of_the_training_split(self):
    latents = self._control.parts.latents["train"].mean
    frame = pd.DataFrame(
      {"id": np.arange(200), "value": latents[:200, 2] > 0.0}
    )
    third = self._control.learn("Third", labels=frame, **_QUICK)
    told = learned_constraints.summary(self._control.about("Third"))
    self.assertStartsWith(told, "from labels, ")
    self.assertEqual(self._control.about("Third")["source"]["labels"], 200)
    made = self._control.sample(third, n=32)
    self.assertGreater((made.latents[:, 2] > 0).mean(), 0.8)

  @parameterized.named_parameters(
    (
      "rule_and_labels",
      {"rule": abs, "labels": [1]},
      "either a rule or labels",
    ),
    ("option", {"rule": abs, "step": 3}, "Unknown option 'step': .* steps"),
  )
  def test_learn_refuses(self, given, sentence):
    with self.assertRaisesRegex(ValueError, sentence):
      self._control.learn("X", **given)

  @parameterized.parameters(
    ("n", 0), ("n", 2.5), ("skip", -1), ("seed", None), ("seed", 2**31)
  )
  def test_numbers_are_whole_and_in_bounds(self, name, value):
    with self.assertRaisesRegex(ValueError, f"{name} must be a whole number"):
      self._control.sample("Male", **{name: value})

  @parameterized.parameters(-1, float("nan"), "1", None, [[0.1, 0.2]])
  def test_strength_is_one_number_from_0_up(self, strength):
    with self.assertRaisesRegex(ValueError, "strength must be a number from 0"):
      self._control.transform(self._images[:2], "Male", strength=strength)

  @parameterized.parameters(
    (lambda c: c.sample(None), "A request is a text"),
    (lambda c: c.sample(lc_keras.Has("Smilin")), "did you mean Smiling"),
    (lambda c: c.sample("Male", sampler="actr"), "did you mean actor"),
    (lambda c: c.encode(_Unwilling()), "_Unwilling cannot be made one: not on"),
    (lambda c: c.decode(np.zeros([2, 5])), r"shape \[n, 3\]; got float64 of"),
    (lambda c: c.decode(np.zeros([0, 3])), "no rows to work on"),
    (lambda c: c.learn(3, rule=abs), "cannot be a constraint's name"),
    (lambda c: c.about("X"), "No constraint 'X' has been learned"),
  )
  def test_refuses_in_a_sentence(self, call, sentence):
    with self.assertRaisesRegex(ValueError, sentence):
      call(self._control)

  @parameterized.parameters(
    lambda c, folder: c.sample("Male"),
    lambda c, folder: c.transform(np.ones([1, *_SHAPE]), "Male"),
    lambda c, folder: c.constraint("Male"),
    lambda c, folder: c.export(folder),
  )
  def test_before_fit_nothing_can_be_asked(self, call):
    control = lc_keras.LatentConstraints(_tensors(), ["Male"])
    folder = os.path.join(self.create_tempdir().full_path, "1")
    with self.assertRaisesRegex(ValueError, "`fit` it with labels, or `learn`"):
      call(control, folder)
    self.assertFalse(os.path.exists(folder))

  def test_an_export_is_a_version(self):
    with self.assertRaisesRegex(ValueError, "need a number .*: mine/1; got"):
      self._control.export("mine")

  @parameterized.parameters("flow/model.json", "generator/generator.json")
  def test_a_file_that_is_cut_short_is_named(self, name):
    folder = pathlib.Path(self.create_tempdir().full_path)
    self._control.save(folder)
    text = (folder / name).read_text()
    (folder / name).write_text(text[: len(text) // 2])
    with self.assertRaisesRegex(ValueError, f"{name} is damaged"):
      lc_keras.load(folder).sample("Male", sampler="flow")

  def test_gray_images_need_no_channel(self):
    made = self._control.transform(self._images[:3, ..., 0], "Male")
    same = self._control.transform(self._images[:3], "Male")
    self.assertAllEqual(made.images, same.images)

  def test_save_replaces_what_was_saved_and_nothing_else(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    self._control.save(folder)  # An empty folder.
    self._control.save(folder)
    thesis = folder / "thesis"
    thesis.mkdir()
    (thesis / "thesis.txt").write_text("years of work")
    for place in (thesis, thesis / "thesis.txt"):
      with self.assertRaisesRegex(ValueError, "other files, which would be"):
        self._control.save(place)
    self.assertEqual(os.listdir(thesis), ["thesis.txt"])
    with contextlib.chdir(self.create_tempdir().full_path):
      with self.assertRaisesRegex(ValueError, "folder that you are in"):
        self._control.save(".")

  @parameterized.parameters("{", "[]", "{}")
  def test_a_damaged_folder_is_named(self, text):
    folder = pathlib.Path(self.create_tempdir().full_path)
    (folder / "run.json").write_text(text)
    with self.assertRaisesRegex(ValueError, "run.json is damaged"):
      lc_keras.load(folder)

  @parameterized.parameters(
    ("Smiling", "a list of names"),
    (3, "a list of names"),
    (["A, B"], "without commas"),
  )
  def test_refuses_what_are_no_names(self, names, sentence):
    with self.assertRaisesRegex(ValueError, sentence):
      lc_keras.LatentConstraints(_tensors(), names)

  @parameterized.named_parameters(
    ("epochs", _faces(9), {"epochs": "5"}, "epochs must be a whole number"),
    ("shape", (np.zeros([9, 5, 6, 1]), None), {}, r"shape \(5, 6, 1\); those"),
    ("split", _faces(9), {"validation_split": 0.0}, "must be between 0 and 1"),
    ("recipe", _faces(9), {"recipes": [recipes.VAE()]}, "fit trains by rec"),
    ("labels", (None, [1, 0]), {}, "without the images that they belong to"),
    ("steps", _faces(9), {"steps_per_epoch": 0}, "steps_per_epoch must be a"),
    ("seed", _faces(9), {"seed": None}, "seed must be a whole number"),
    ("one", _faces(1), {}, "Of 1 images, 0 are to train on and 1 are held out"),
    ("none", _faces(0), {}, "0 images, too few"),
    ("same", (_faces(9)[0], np.zeros([9, 2])), {}, "A, B cannot be learned"),
    ("black", (np.zeros([9, *_SHAPE]), np.ones([9, 2])), {}, "NaN or infinity"),
    ("classifier", (_faces(9)[0], abs), {}, "only without images"),
  )
  def test_fit_refuses(self, data, options, sentence):
    names = None if data[0] is None or data[1] is None else ["A", "B"]
    control = lc_keras.LatentConstraints(_tensors(), names)
    with self.assertRaisesRegex(ValueError, sentence):
      control.fit(*data, **options)


class FitTest(tf.test.TestCase):
  def test_fit_warns_of_few_images_and_of_a_critic_that_misreads(self):
    control = lc_keras.LatentConstraints(_tensors(), ["Smiling", "Random"])
    images, labels = _faces(200)
    labels[:, 1] = np.random.default_rng(2).integers(0, 2, 200)
    small = {"steps": 60, "width": 8, "depth": 1, "batch_size": 64}
    made = [
      recipes.Attributes(**small, learning_rate=1e-2),
      recipes.Flow(**small),
      recipes.Actor(**small, critic_steps=1),
    ]
    with warnings.catch_warnings(record=True) as warned:
      warnings.simplefilter("always")
      control.fit(images, labels, recipes=made, verbose=0)
    few, misread = (
      one for one in warned if os.path.samefile(one.filename, __file__)
    )
    self.assertRegex(str(few.message), "only 180 labelled .* at least 500")
    self.assertRegex(str(misread.message), "is chance: Random 0.[3-6]")

  def test_lessons_are_as_many_as_the_images_can_teach(self):
    for count, lessons in ((50, 1_000), (600, 1_080), (20_000, 20_000)):
      latents = {"train": [None] * int(0.9 * count)}
      plan = fit._plan(
        {}, parts.Parts(_tensors(), None, latents=latents), None, steps=5
      )
      self.assertEqual(plan["actor_0.1"][1].lessons, lessons)


class KindsOfGeneratorsTest(tf.test.TestCase):
  def test_a_function_of_arrays_has_to_be_given_again(self):
    def generator():
      return lc_keras.Generator(_decode, encoder=_encode, latent_size=_SIZE)

    control = lc_keras.LatentConstraints(generator())
    control.fit(_faces(50)[0])
    with self.assertRaisesRegex(ValueError, "`fit` it with labels, or"):
      control.sample("Dark")
    control.learn("Dark", rule=lambda x: _brightness(x) < 0.5, **_QUICK)
    folder = os.path.join(self.create_tempdir().full_path, "mine")
    control.save(folder)
    loaded = lc_keras.load(folder, generator=generator())
    self.assertAllClose(
      loaded.sample("Dark", 3).latents, control.sample("Dark", 3).latents
    )

  def test_without_an_encoder_latents_are_draws(self):
    gan = lc_keras.GAN((8, 16, 1), 4, "mlp_small")
    control = lc_keras.LatentConstraints(gan, ["Bright"])
    with self.assertRaisesRegex(
      ValueError, "cannot encode, so that images.*`learn_encoder`"
    ):
      control.fit(*_faces(9))
    with self.assertRaisesRegex(
      ValueError, "cannot encode images: give latents"
    ):
      control.transform(np.zeros([1, 8, 16, 1]), "Bright")
    self.assertEqual(control.fit(), {})
    with self.assertRaisesRegex(ValueError, "labels by image do not apply"):
      control.learn("Mine", labels=[0.0, 1.0])
    latents = control.parts.latents["train"].mean
    columns = {f"z{i}": latents[:400, i] for i in range(4)}
    columns["value"] = latents[:400, 0] > 0
    control.learn("Mine", labels=columns, **{**_QUICK, "steps": 200})
    self.assertGreater(
      (control.sample("Mine", 32).latents[:, 0] > 0).mean(), 0.7
    )
    folder = os.path.join(self.create_tempdir().full_path, "mine")
    control.save(folder)
    self.assertContainsSubset(["gan", "constraints"], os.listdir(folder))
    self.assertAllClose(
      lc_keras.load(folder).decode(latents[:3]), control.decode(latents[:3])
    )

  def test_without_an_encoder_a_classifier_reads_labels_from_draws(self):
    gan = lc_keras.GAN((8, 16, 1), 4, "mlp_small")
    control = lc_keras.LatentConstraints(gan, ["Bright"])
    draws = gan.decode(tf.random.normal([99, 4])).mean().numpy()
    middle = float(np.median(_brightness(draws)))

    def bright(images):
      return tf.reduce_mean(images, [1, 2, 3])[:, tf.newaxis] - middle

    small = {"steps": 2, "width": 8, "depth": 1}
    control.fit(
      labels=bright,
      recipes=(
        recipes.Attributes(**small, edit_weight=1.0),
        recipes.Flow(**small),
        recipes.Actor(**small, critic_steps=1),
      ),
      verbose=0,
    )
    on = control.parts.latents["train"].attributes
    self.assertEqual(on.shape, (20_000, 1))
    self.assertBetween(on.mean(), 0.2, 0.8)


class RunFolderTest(tf.test.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls._folder = os.path.join(cls.get_temp_dir(cls()), "run")
    tiny_run.write(cls._folder)
    cls._control = lc_keras.load(cls._folder)

  def _images(self, count=5):
    random = np.random.default_rng(0)
    shape = [count, *tiny_run.IMAGE_SHAPE]
    return random.uniform(size=shape).astype(np.float32)

  def test_requests_are_joined_and_sampled(self):
    control = self._control
    request = control.constraint("smiling") & ~control.constraint("Male")
    made = control.sample(request, n=5, seed=3)
    self.assertEqual(made.images.shape, (5, *tiny_run.IMAGE_SHAPE))
    self.assertAllInRange(made.images, 0.0, 1.0)
    self.assertEqual(set(made.probabilities), set(tiny_run.ATTRIBUTES.names))
    for other in (
      control.sample("Smiling, not Male", n=5, seed=3),
      control.sample(request, n=5, seed=3),
    ):
      self.assertAllEqual(other.images, made.images)
    # With another seed, all images differ.
    few = control.sample(request, n=2, seed=3)
    self.assertAllClose(few.images, made.images[:2], atol=1e-6)
    rest = control.sample(request, n=3, seed=3, skip=2)
    self.assertAllClose(rest.images, made.images[2:], atol=1e-6)
    others = control.sample(request, n=5, seed=4)
    self.assertNotAllClose(others.images, made.images, atol=1e-4)

  def test_a_change_can_be_made_by_half(self):
    none, half, whole = [
      self._control.transform(self._images(), "not Male", strength=strength)
      for strength in (0.0, 0.5, 1.0)
    ]
    self.assertAllEqual(none.distance, np.zeros(5))
    self.assertAllClose(
      half.latents, 0.5 * (none.latents + whole.latents), atol=1e-5
    )
    self.assertAllGreater(whole.distance, 0.0)

  def test_what_is_learned_is_kept_for_this_generator_alone(self):
    folder = os.path.join(self.create_tempdir().full_path, "run")
    shutil.copytree(self._folder, folder)
    control = lc_keras.load(folder)
    before = control.sample("Male", 4, seed=1)
    latents = np.random.default_rng(0).normal(size=[200, 4]).astype(np.float32)
    known = lc_keras.Labels(np.float32(latents[:, 1] > 0), latents=latents)
    control.learn("Second", labels=known, **_QUICK)
    made = control.sample("Second", 8).latents
    self.assertGreater(made[:, 1].min(), -0.5)
    # Requests without the new constraint give the same images.
    self.assertAllEqual(control.sample("Male", 4, seed=1).images, before.images)
    again = lc_keras.load(folder)
    self.assertAllClose(
      again.parts.learned["Second"].model(made),
      control.parts.learned["Second"].model(made),
    )
    few = lc_keras.Labels(np.ones(3), latents=np.zeros([3, 4]))
    with self.assertRaisesRegex(ValueError, "3 rows that are on and 0 .* off"):
      control.learn("Third", labels=few, **_QUICK)
    self.assertNotIn("Third", control.attributes.names)
    manifest = pathlib.Path(folder, "constraints", "Second", "manifest.json")
    own = control.about("Second")["generator"]
    text = manifest.read_text()
    manifest.write_text(text.replace(own, "f" * 64))
    again = lc_keras.load(folder)
    self.assertNotIn("Second", again.attributes.names)
    with self.assertRaisesRegex(ValueError, "for the generator ffffffffffff"):
      again.constraint("Second")

  def test_refuses_with_the_reason(self):
    control = self._control
    for call, sentence in (
      (
        lambda: control.transform(self._images()[:, 1:], "Male"),
        r"\[n, 8, 16, 1\]; got \[5, 7",
      ),
      (lambda: control.transform(9 * self._images(), "Male"), r"in \[0, 1\]"),
      (
        lambda: control.learn("male", rule=_brightness, threshold=0.5),
        "There is an attribute 'Male' already. Request it",
      ),
      (lambda: control.learn({"B": abs, "b": abs}), "must differ"),
    ):
      with self.assertRaisesRegex(ValueError, sentence):
        call()
    with self.assertRaisesRegex(
      FileNotFoundError, "is no run folder: it has no run.json"
    ):
      lc_keras.load(self.create_tempdir().full_path)
