"""Tests that labels are visible, and that edits change only their region."""

import tempfile

import numpy as np
import tensorflow_datasets as tfds
from absl.testing import absltest
from absl.testing import parameterized

from lc_keras.data.toon_faces import builder
from lc_keras.data.toon_faces import factors
from lc_keras.data.toon_faces import looks
from lc_keras.data.toon_faces import renderer
from lc_keras.data.toon_faces import sprites

_HAIR = "hair hair_back under_hat fringe"
_BEARD = "beard sideburns goatee mustache"
_HAIR_COLOURS = "hairColor beard eyebrow"
_WIDE = "head shadow ear cheeks double_chin crows_feet glasses hat"

# For each attribute: the drawings and colours that may differ, and the region
# of pixels that may (first row, last row, first column, last column).
_EVERYWHERE = (0, 63, 0, 63)
_MOUTH = (46, 61, 20, 43)
_JAW = (28, 63, 6, 57)
_MAY_CHANGE = {
  "Bald": (_HAIR, "", _EVERYWHERE),
  "Black_Hair": ("", _HAIR_COLOURS, _EVERYWHERE),
  "Blond_Hair": ("", _HAIR_COLOURS, _EVERYWHERE),
  "Brown_Hair": ("", _HAIR_COLOURS, _EVERYWHERE),
  "Gray_Hair": ("", _HAIR_COLOURS, _EVERYWHERE),
  "Eyeglasses": ("glasses", "", (26, 42, 7, 56)),
  "Male": (f"head shadow body jersey eye eyebrow {_HAIR}", "lip", _EVERYWHERE),
  "No_Beard": (f"{_BEARD} shadow", "", _JAW),
  "Smiling": ("mouth", "", _MOUTH),
  "Wearing_Hat": (f"{_HAIR} hat", "", _EVERYWHERE),
  "Young": ("forehead smile_lines crows_feet", "", (20, 57, 8, 55)),
  "Mustache": (_BEARD, "", _JAW),
  "Goatee": (_BEARD, "", _JAW),
  "Sideburns": (_BEARD, "", _JAW),
  "5_o_Clock_Shadow": ("shadow", "", (36, 62, 7, 56)),
  "Bangs": ("fringe", "", (11, 30, 9, 54)),
  "Receding_Hairline": (_HAIR, "", _EVERYWHERE),
  "Straight_Hair": (_HAIR, "", _EVERYWHERE),
  "Wavy_Hair": (_HAIR, "", _EVERYWHERE),
  "Mouth_Slightly_Open": ("mouth", "", _MOUTH),
  "Wearing_Lipstick": ("", "lip", _MOUTH),
  "Bushy_Eyebrows": ("eyebrow", "", (24, 33, 14, 49)),
  "Narrow_Eyes": ("eye", "", (28, 40, 14, 49)),
  "Bags_Under_Eyes": ("bags", "", (37, 42, 16, 47)),
  "Big_Nose": ("nose", "", (34, 52, 24, 39)),
  "Chubby": (f"{_WIDE} {_HAIR} {_BEARD}", "", _EVERYWHERE),
  "Pale_Skin": ("", "skinColor lip", (4, 63, 5, 58)),
  "Rosy_Cheeks": ("cheeks", "", (40, 49, 11, 52)),
}
# These do not change the middle of the face.
_AROUND_THE_FACE = "Bald Wearing_Hat Receding_Hairline Straight_Hair Wavy_Hair"
_MIDDLE = (slice(33, 46), slice(24, 40))


def _switched(name, count):
  """Faces without and with an attribute that differ in no other label."""
  faces = factors.sample(31, 0, count)
  is_it = np.array(factors.NAMES) == name
  off, on = (
    factors.Factors(np.where(is_it, value, faces.traits), faces.draws)
    for value in (False, True)
  )
  alone = ((off.labels != on.labels) == is_it).all(1)
  for group in factors.EXCLUSIVE:
    alone &= on.labels[:, np.isin(factors.NAMES, group)].sum(1) <= 1
  return off[alone], on[alone]


class VisibilityTest(parameterized.TestCase):
  @parameterized.parameters(*factors.NAMES)
  def test_an_edit_changes_its_own_drawings_only(self, name):
    off, on = (looks.look(f, looks.WILD) for f in _switched(name, 300))
    layers = {
      layer
      for (layer, before, _), (_, after, _) in zip(off.layers, on.layers)
      if (before != after).any()
    }
    colours = {
      c for c in off.colours if (off.colours[c] != on.colours[c]).any()
    }
    may_layers, may_colours, _ = _MAY_CHANGE[name]
    self.assertLessEqual(layers, set(may_layers.split()))
    self.assertLessEqual(colours, set(may_colours.split()))
    self.assertTrue(layers or colours)
    for draw in off.pose:
      np.testing.assert_array_equal(off.pose[draw], on.pose[draw])
    np.testing.assert_array_equal(off.background, on.background)

  @parameterized.parameters(*factors.NAMES)
  def test_an_edit_changes_pixels_where_it_should(self, name):
    off, on = (
      renderer.render(f, looks.STUDIO).astype(int) for f in _switched(name, 300)
    )
    self.assertGreater(len(off), 10)
    change = np.abs(off - on).max(-1)
    top, bottom, left, right = _MAY_CHANGE[name][2]
    outside = change.copy()
    outside[:, top : bottom + 1, left : right + 1] = 0
    self.assertEqual(outside.max(), 0)
    if name in _AROUND_THE_FACE.split():
      self.assertEqual(change[:, *_MIDDLE].max(), 0)
    if name in factors.NAMES[:10]:
      plain = (change > 30).sum((1, 2))
      self.assertGreaterEqual(plain.min(), 25)
      self.assertGreaterEqual(np.median(plain), 90)

  def test_hair_colours_are_apart(self):
    faces = factors.sample(31, 0, 4000)
    colours = looks.look(faces, looks.STUDIO).colours["hairColor"]
    kinds = {name: colours[faces.trait(name)] for name in factors.HAIR_COLOURS}
    kinds["none"] = colours[~np.any(list(map(faces.trait, kinds)), axis=0)]
    for name, shades in kinds.items():
      for other in set(kinds) - {name}:
        gap = np.linalg.norm(shades[:, None] - kinds[other][None], axis=-1)
        self.assertGreater(gap.min(), 55, (name, other))


class RenderTest(parameterized.TestCase):
  @parameterized.parameters(*looks.SCENES)
  def test_a_face_does_not_depend_on_its_neighbours(self, scene):
    faces = factors.sample(8, 0, 61)
    images = renderer.render(faces, scene)
    self.assertEqual(images.shape, (61, 64, 64, 3))
    self.assertEqual(images.dtype, np.uint8)
    np.testing.assert_array_equal(
      renderer.render(faces[37:40], scene), images[37:40]
    )

  def test_backgrounds_are_plain_in_the_studio_and_vary_in_the_wild(self):
    faces = factors.sample(8, 0, 300)
    images = renderer.render(faces, looks.STUDIO)
    np.testing.assert_array_equal(images[:, 0, 0], images[:, 0, 63])
    self.assertLen(np.unique(images[:, 0, 0], axis=0), 4)
    wild = renderer.render(faces, looks.WILD)
    self.assertGreater(len(np.unique(wild[:, 0, 0], axis=0)), 270)

  def test_an_unposed_face_is_the_studio_face(self):
    looked = looks.look(factors.sample(8, 0, 5), looks.STUDIO)
    canvas = renderer._compose(looked)
    still = {
      name: np.full(5, 1.0 if name in ("scale", "gain") else 0.0, np.float32)
      for name in looks.look(factors.sample(8, 0, 5), looks.WILD).pose
    }
    # The middle lies between pixels: half a grey level of rounding remains.
    posed = renderer._pose(canvas, still).astype(int)
    self.assertLessEqual(np.abs(posed - renderer._crop(canvas)).max(), 1)


class SpritesTest(absltest.TestCase):
  def test_saved_sprites_read_back_the_same_and_twice_alike(self):
    planes = np.zeros((10, sprites.CANVAS, sprites.CANVAS), np.float32)
    planes[0] = 1
    planes[0, 20:30, 5:9] = 0.2
    planes[5, 20:30, 5:9] = 0.8  # half of it hair
    layers = {"hair": {("tuft", 0): planes, ("tuft", 1): planes / 2}}
    folder = self.create_tempdir()
    paths = [f"{folder.full_path}/{name}.npz" for name in ("a", "b")]
    for path in paths:
      sprites.save(path, layers)
    first, second = (open(path, "rb").read() for path in paths)
    self.assertEqual(first, second)
    layer = sprites.load(paths[0])["hair"]
    self.assertEqual(layer.index("tuft", 1), 1)
    self.assertEqual(layer.index("", 1), -1)
    np.testing.assert_allclose(
      layer.planes[0, layer.channels.index(5)].max() / 256, 0.8, atol=0.01
    )

  def test_no_sprite_gains_more_than_it_lets_through(self):
    for name, layer in sprites.load().items():
      ink = [i for i, c in enumerate(layer.channels) if 1 <= c <= 3]
      masks = [i for i, c in enumerate(layer.channels) if c > 3]
      total = layer.planes[:, 0].astype(int) + layer.planes[:, masks].sum(1)
      if ink:
        total = total + layer.planes[:, ink].max(1)
      # 16 bits hold 255 * 257.
      self.assertLessEqual(total.max(), 256, name)


class BuilderTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = cls.enterClassContext(tempfile.TemporaryDirectory())
    cls.faces = builder.ToonFaces(config="tiny", data_dir=folder)
    cls.faces.download_and_prepare()

  def test_examples_are_those_of_the_seed(self):
    for offset, split in enumerate(("train", "validation", "test")):
      stored = list(tfds.as_numpy(self.faces.as_dataset(split=split)))
      count = self.faces.builder_config.faces[split]
      seed = self.faces.builder_config.seed + offset
      drawn = factors.sample(seed, 0, count)
      self.assertLen(stored, count)
      np.testing.assert_array_equal(
        [example["image"] for example in stored],
        renderer.render(drawn, looks.STUDIO),
      )
      np.testing.assert_array_equal(
        [example["attributes"] for example in stored], drawn.labels
      )
      self.assertSameElements([-1], [example["focus"] for example in stored])

  def test_balanced_split_has_half_of_each(self):
    stored = list(tfds.as_numpy(self.faces.as_dataset(split="balanced")))
    focus = np.array([example["focus"] for example in stored])
    labels = np.array([example["attributes"] for example in stored])
    np.testing.assert_array_equal(focus, np.tile(np.arange(28), 2))
    for index in range(len(factors.NAMES)):
      shown = labels[focus == index, index]
      self.assertLen(shown, 2)
      self.assertEqual(shown.sum(), 1)

  def test_no_two_splits_share_a_seed(self):
    configs = builder.ToonFaces.BUILDER_CONFIGS
    seeds = {c.seed + i for c in configs for i in range(len(builder.SPLITS))}
    self.assertLen(seeds, len(configs) * len(builder.SPLITS))
