"""toon_faces as a TensorFlow data set: drawn on this machine, offline."""

import dataclasses
import io

import numpy as np
import tensorflow_datasets as tfds

from lc_keras.data import stored
from lc_keras.data.toon_faces import factors
from lc_keras.data.toon_faces import looks
from lc_keras.data.toon_faces import renderer
from lc_keras.data.toon_faces import sprites

SPLITS = ("train", "validation", "test", "balanced")
IMAGE_SHAPE = (sprites.SIZE, sprites.SIZE, 3)

_DESCRIPTION = """
Cartoon faces with 28 of CelebA's attributes, at about CelebA's rates, composed
of the drawings of facesjs. `attributes` is in the order of `factors.NAMES`.

The splits train, validation and test are drawn alike. `balanced` is for judging
rare attributes: it has the same number of faces for each attribute, of which
exactly half show it, while everything else is as it comes. `focus` says for
which attribute a face was drawn (-1 in the other splits): judge each attribute
on its own faces. (All attributes cannot be at one half in all faces at once:
hair has one colour of four or none, and a bald head has none.)
"""

_CHUNK = 512  # faces drawn at a time
_NUM_PAPER_ATTRIBUTES = 10


def load(config):
  """Returns one configuration: studio, wild or tiny."""
  return stored.Dataset(
    image_shape=IMAGE_SHAPE,
    all_attributes=factors.NAMES,
    trained=factors.NAMES[:_NUM_PAPER_ATTRIBUTES],
    exclusive=factors.EXCLUSIVE,
    splits=SPLITS,
    builder=lambda data_dir: ToonFaces(config=config, data_dir=data_dir),
    decode=lambda example: {
      **stored.decode(example, IMAGE_SHAPE),
      "focus": example["focus"],
    },
  )


@dataclasses.dataclass(kw_only=True)
class Config(tfds.core.BuilderConfig):
  """One data set of cartoon faces.

  Attributes:
    scene: looks.STUDIO or looks.WILD.
    seed: int, the seed of `train`; the other splits have the next ones.
    faces: {split: number of faces}.
  """

  scene: str
  seed: int
  faces: dict[str, int]


def _faces(train, validation, test, of_each_attribute):
  balanced = of_each_attribute * len(factors.NAMES)
  return dict(zip(SPLITS, (train, validation, test, balanced)))


class ToonFaces(tfds.core.GeneratorBasedBuilder):
  """Cartoon faces, 64 x 64 pixels, with the names of CelebA's attributes."""

  VERSION = tfds.core.Version("1.0.0")
  BUILDER_CONFIGS = [
    Config(
      name="studio",
      description="Frontal faces in flat light on one of four plain colours.",
      scene=looks.STUDIO,
      seed=0,
      faces=_faces(20_000, 2_000, 4_000, 200),
    ),
    Config(
      name="wild",
      description="Turned, tilted and lit faces on backgrounds of any colour.",
      scene=looks.WILD,
      seed=10,
      faces=_faces(60_000, 2_000, 4_000, 200),
    ),
    Config(
      name="tiny",
      description="A handful of studio faces, for tests.",
      scene=looks.STUDIO,
      seed=20,
      faces=_faces(64, 32, 32, 2),
    ),
  ]

  def __init__(self, *, examples=None, **options):
    """Creates the builder.

    Args:
      examples: split -> iterator of all its examples, as `render` yields them,
        for faces that were rendered elsewhere; None renders them here.
      **options: Options of `tfds.core.GeneratorBasedBuilder`.
    """
    self._balanced = None
    self.examples = examples or self._render_all
    super().__init__(**options)

  def _render_all(self, split):
    return self.render(split, 0, self.builder_config.faces[split])

  @classmethod
  def get_metadata(cls):
    # tfds would look for files of tags and citations beside this one.
    return tfds.core.dataset_metadata.DatasetMetadata(
      description=_DESCRIPTION, citation=None, tags=[]
    )

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      description=_DESCRIPTION,
      features=tfds.features.FeaturesDict(
        {
          "id": np.int64,
          "image": tfds.features.Image(
            shape=IMAGE_SHAPE, encoding_format="png"
          ),
          "attributes": tfds.features.Tensor(
            shape=(len(factors.NAMES),), dtype=np.uint8
          ),
          "focus": np.int64,
        }
      ),
      # Keeps the faces in order: they are already drawn at random.
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Nothing to fetch.
    return {split: self._generate_examples(split) for split in SPLITS}

  def render(self, split, start, stop):
    """Yields examples of rows [start, stop), their images as PNG in bytes."""
    for first in range(start, stop, _CHUNK):
      last = min(first + _CHUNK, stop)
      faces, foci = self._draw(split, first, last)
      images = renderer.render(faces, self.builder_config.scene)
      for row, image, labels, focus in zip(
        range(first, last), images, faces.labels, foci
      ):
        yield {
          "id": row,
          "image": stored.png(image),
          "attributes": labels,
          "focus": focus,
        }

  def _generate_examples(self, split):
    """Yields (row, example)."""
    for example in self.examples(split):
      image = io.BytesIO(example["image"])
      yield example["id"], {**example, "image": image}

  def _draw(self, split, start, stop):
    """Returns Factors of some rows, and the attribute each is for, or -1."""
    seed = self.builder_config.seed + SPLITS.index(split)
    if split != "balanced":
      return factors.sample(seed, start, stop), [-1] * (stop - start)
    if self._balanced is None:  # All at once, since the order depends on all.
      count = self.builder_config.faces[split]
      self._balanced = _draw_balanced(seed, count // len(factors.NAMES))
    faces, foci = self._balanced
    return faces[start:stop], foci[start:stop]


def _draw_balanced(seed, each):
  """Draws faces for each attribute in turn, so that any prefix is balanced.

  Returns:
    Factors of n faces, and int [n], the attribute they were drawn for.
  """
  drawn = factors.concatenate(
    [factors.sample_balanced(seed, name, each) for name in factors.NAMES]
  )
  in_turn = np.arange(len(drawn)).reshape(-1, each).T.ravel()
  return drawn[in_turn], in_turn // each
