"""CelebA for the input pipeline, from any copy of it, in the paper's crop."""

from lc_keras.data import celeb_a_copies
from lc_keras.data import images
from lc_keras.data import names
from lc_keras.data import preprocessing as preprocessings
from lc_keras.data import stored

ALL_ATTRIBUTES = celeb_a_copies.ATTRIBUTES
PAPER_ATTRIBUTES = (
  "Bald",
  "Black_Hair",
  "Blond_Hair",
  "Brown_Hair",
  "Eyeglasses",
  "Male",
  "No_Beard",
  "Smiling",
  "Wearing_Hat",
  "Young",
)
EXCLUSIVE = (
  ("Bald", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),
  ("Bald", "Wearing_Hat"),
)
# The paper's crop: the middle of the aligned images.
CROP = "25,45,128,128 of 178x218"


def load(
  *, image_size: str = "64", crop: str = CROP, source_dir: str | None = None
) -> stored.Dataset:
  """Returns the data set.

  Args:
    image_size: See `names.image_shape`.
    crop: The part of a picture that becomes the image, see `images.box`.
    source_dir: A folder with a copy, in any form that `celeb_a_copies` reads;
      by default `data_dir` is searched.
  """
  shape = names.image_shape(image_size)
  images.check_crop(crop)

  def find(data_dir):
    return celeb_a_copies.find(
      [source_dir] if source_dir else [stored.manual_dir(data_dir), data_dir]
    )

  found = {}  # The lists are read once for all splits.

  def examples(split, data_dir):
    if split == stored.SPLITS[0]:
      found["copy"] = find(data_dir)
    copy = found["copy"]
    if copy is None:
      raise FileNotFoundError(
        celeb_a_copies.not_found(
          source_dir or f"{stored.manual_dir(data_dir)} or {data_dir}"
        )
      )
    if split == stored.SPLITS[0]:
      copy.warn_of_differences()
    yield from copy.examples(split, preprocessings.Preprocessing(shape, crop))

  def state(data_dir):
    try:
      copy = find(data_dir)
    except ValueError:  # The copy is incomplete; `examples` raises this again.
      return None
    return copy and copy.state()

  size = "_".join(map(str, shape[: 2 + (shape[2] == 1)]))
  way = "" if crop == CROP else f"_{names.digest(crop)}"
  return stored.from_examples(
    f"celeb_a_{size}{way}",
    examples,
    image_shape=shape,
    attributes=ALL_ATTRIBUTES,
    trained=PAPER_ATTRIBUTES,
    exclusive=EXCLUSIVE,
    crop=crop,
    state=state,
  )
