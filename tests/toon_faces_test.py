"""Tests that labels can be seen, and that an edit changes what it should."""

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

_HAIR = {"hair", "hair_back", "under_hat", "fringe"}
_BEARD = {"beard", "sideburns", "goatee", "mustache"}
_HAIR_COLOURS = {"hairColor", "beard", "eyebrow"}

# For each attribute: the drawings and colours that may differ, and the pixels
# (first row, last row, first column, last column) that may.
_EVERYWHERE = (0, 63, 0, 63)
_MOUTH = (46, 61, 20, 43)
_JAW = (28, 63, 6, 57)
_MAY_CHANGE = {
  "Bald": (_HAIR, set(), _EVERYWHERE),
  "Black_Hair": (set(), _HAIR_COLOURS, _EVERYWHERE),
  "Blond_Hair": (set(), _HAIR_COLOURS, _EVERYWHERE),
  "Brown_Hair": (set(), _HAIR_COLOURS, _EVERYWHERE),
  "Gray_Hair": (set(), _HAIR_COLOURS, _EVERYWHERE),
  "Eyeglasses": ({"glasses"}, set(), (26, 42, 7, 56)),
  "Male": (
    {"head", "shadow", "body", "jersey", "eye", "eyebrow", *_HAIR},
    {"lip"},
    _EVERYWHERE,
  ),
  "No_Beard": (_BEARD | {"shadow"}, set(), _JAW),
  "Smiling": ({"mouth"}, set(), _MOUTH),
  "Wearing_Hat": (_HAIR | {"hat"}, set(), _EVERYWHERE),
  "Young": (
    {"forehead", "smile_lines", "crows_feet"},
    set(),
    (20, 57, 8, 55),
  ),
  "Mustache": (_BEARD, set(), _JAW),
  "Goatee": (_BEARD, set(), _JAW),
  "Sideburns": (_BEARD, set(), _JAW),
  "5_o_Clock_Shadow": ({"shadow"}, set(), (36, 62, 7, 56)),
  "Bangs": ({"fringe"}, set(), (11, 30, 9, 54)),
  "Receding_Hairline": (_HAIR, set(), _EVERYWHERE),
  "Straight_Hair": (_HAIR, set(), _EVERYWHERE),
  "Wavy_Hair": (_HAIR, set(), _EVERYWHERE),
  "Mouth_Slightly_Open": ({"mouth"}, set(), _MOUTH),
  "Wearing_Lipstick": (set(), {"lip"}, _MOUTH),
  "Bushy_Eyebrows": ({"eyebrow"}, set(), (24, 33, 14, 49)),
  "Narrow_Eyes": ({"eye"}, set(), (28, 40, 14, 49)),
  "Bags_Under_Eyes": ({"bags"}, set(), (37, 42, 16, 47)),
  "Big_Nose": ({"nose"}, set(), (34, 52, 24, 39)),
  "Chubby": (
    {
      "head",
      "shadow",
      "ear",
      "cheeks",
      "double_chin",
      "crows_feet",
      "glasses",
      "hat",
      *_HAIR,
      *_BEARD,
    },
    set(),
    _EVERYWHERE,
  ),
  "Pale_Skin": (set(), {"skinColor", "lip"}, (4, 63, 5, 58)),
  "Rosy_Cheeks": ({"cheeks"}, set(), (40, 49, 11, 52)),
}
# These leave the middle of the face alone.
_AROUND_THE_FACE = (
  "Bald",
  "Wearing_Hat",
  "Receding_Hairline",
  "Straight_Hair",
  "Wavy_Hair",
)
_MIDDLE = (slice(33, 46), slice(24, 40))


def _switched(name, count):
  """Faces without and with an attribute that differ in no other label."""
  faces = factors.sample(31, 0, count)
  off = factors.with_attribute(faces, name, False)
  on = factors.with_attribute(faces, name, True)
  others = np.arange(len(factors.NAMES)) != factors.NAMES.index(name)
  alone = (off.labels == on.labels)[:, others].all(1)
  return off[alone], on[alone]


class VisibilityTest(parameterized.TestCase):
  def test_every_attribute_is_covered(self):
    self.assertSameElements(_MAY_CHANGE, factors.NAMES)

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
    self.assertLessEqual(layers, may_layers)
    self.assertLessEqual(colours, may_colours)
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
    if name in _AROUND_THE_FACE:
      self.assertEqual(change[:, *_MIDDLE].max(), 0)

  @parameterized.parameters(*factors.NAMES[:10])
  def test_the_ten_are_plain_to_see_on_every_face(self, name):
    off, on = (
      renderer.render(f, looks.STUDIO).astype(int) for f in _switched(name, 300)
    )
    plain = (np.abs(off - on).max(-1) > 30).sum((1, 2))
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

  def test_studio_backgrounds_are_plain(self):
    images = renderer.render(factors.sample(8, 0, 300), looks.STUDIO)
    corners = np.unique(images[:, 0, 0], axis=0)
    np.testing.assert_array_equal(images[:, 0, 0], images[:, 0, 63])
    self.assertLen(corners, 4)

  def test_wild_scenes_vary(self):
    faces = factors.sample(8, 0, 50)
    wild = renderer.render(faces, looks.WILD)
    self.assertGreater(len(np.unique(wild[:, 0, 0], axis=0)), 45)
    self.assertFalse((wild == renderer.render(faces, looks.STUDIO)).all())

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

  def test_unknown_scene_is_refused(self):
    with self.assertRaisesRegex(ValueError, "studio"):
      renderer.render(factors.sample(0, 0, 1), "beach")


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
    cls.folder = tempfile.TemporaryDirectory()
    cls.addClassCleanup(cls.folder.cleanup)
    cls.faces = builder.ToonFaces(config="tiny", data_dir=cls.folder.name)
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

  def test_the_full_sizes(self):
    for config in builder.ToonFaces.BUILDER_CONFIGS:
      self.assertSameElements(config.faces, builder.SPLITS)
      self.assertEqual(config.faces["balanced"] % (2 * len(factors.NAMES)), 0)
    seeds = [
      config.seed + i
      for config in builder.ToonFaces.BUILDER_CONFIGS
      for i in range(len(builder.SPLITS))
    ]
    self.assertLen(set(seeds), len(seeds))


if __name__ == "__main__":
  absltest.main()
