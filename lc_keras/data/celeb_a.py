"""CelebA for the input pipeline: tfds's builder, the paper's crop.

Its files must be fetched by hand (see `FILES`) into
`<data_dir>/downloads/manual`; the archive of images stays packed.
"""

import os
import zipfile

import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import download_manager

from lc_keras.data import images
from lc_keras.data import preprocessing
from lc_keras.data import stored

# Names of the files on CelebA's project page.
FILES = (
  "img_align_celeba.zip",
  "list_eval_partition.txt",
  "list_attr_celeba.txt",
  "list_landmarks_align_celeba.txt",
  "identity_CelebA.txt",
)

ALL_ATTRIBUTES = tuple(
  "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs"
  " Big_Lips Big_Nose Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows"
  " Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones"
  " Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin"
  " Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair"
  " Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace"
  " Wearing_Necktie Young".split()
)
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

IMAGE_SHAPE = (64, 64, 3)
_SIZE = (218, 178)  # height, width of the aligned images
# Their middle, 128 pixels wide and high, as published.
_PREPROCESSING = preprocessing.Preprocessing(
  IMAGE_SHAPE, "25,45,128,128 of 178x218"
)


def load():
  """Returns the data set."""
  return stored.Dataset(
    image_shape=IMAGE_SHAPE,
    stored_shape=(*_SIZE, 3),
    all_attributes=ALL_ATTRIBUTES,
    attributes=PAPER_ATTRIBUTES,
    exclusive=EXCLUSIVE,
    splits=("train", "validation", "test"),
    builder=lambda data_dir: tfds.builder("celeb_a", data_dir=data_dir),
    decode=_decode,
    prepare=_prepare,
    preprocessing=_PREPROCESSING,
  )


def _prepare(builder, data_dir):
  folder = stored.manual_dir(data_dir)
  infos = {info.filename: info for info in builder.url_infos.values()}
  for name in FILES:
    path = os.path.join(folder, name)
    if not os.path.exists(path):
      raise FileNotFoundError(
        f"CelebA's file {name} is missing: expected {path}. Get it from the "
        "project page of CelebA (Large-scale CelebFaces Attributes Dataset, "
        'MMLAB, the Chinese University of Hong Kong), "Align&Cropped Images", '
        "and put it there under that name, still packed."
      )
    size, expected = os.path.getsize(path), infos[name].size
    if size != expected:
      raise ValueError(
        f"CelebA's file {path} has {size} bytes instead of {expected}: the "
        "copy is cut short or is another version. Fetch it again from the "
        "project page of CelebA."
      )
  _check_lists(folder)
  config = tfds.download.DownloadConfig(manual_dir=folder)
  try:
    builder.download_and_prepare(download_config=config)
  except download_manager.NonMatchingChecksumError as error:
    raise ValueError(
      f"A file of CelebA in {folder} has the right size but other contents "
      "than the one published. Fetch it again from the project page of "
      f"CelebA. {error}"
    ) from error


def _check_lists(folder):
  """Raises ValueError, with file and line, where faces and lists differ.

  tfds would stop at the first with a KeyError.
  """
  archive, *lists = (os.path.join(folder, name) for name in FILES)
  try:
    with zipfile.ZipFile(archive) as packed:
      faces = {
        os.path.basename(name)
        for name in packed.namelist()
        if name.endswith(".jpg")
      }
  except zipfile.BadZipFile as error:
    raise ValueError(f"{archive} is not a whole archive: {error}") from error
  partition, attributes, landmarks, identities = lists
  for path, heading, columns, known in (
    (partition, 0, 1, {"0", "1", "2"}),
    (attributes, 2, len(ALL_ATTRIBUTES), {"-1", "1"}),
    (landmarks, 2, 10, None),
    (identities, 0, 1, None),
  ):
    listed = set()
    with open(path, encoding="utf-8") as file:
      lines = file.read().splitlines()
    if path == attributes and tuple(lines[1].split()) != ALL_ATTRIBUTES:
      raise ValueError(f"{path}, line 2: these are not CelebA's 40 attributes.")
    for number, line in enumerate(lines[heading:], heading + 1):
      name, *values = line.split() or [""]
      wrong = None
      if name not in faces:
        wrong = f"there is no image {name!r} in {archive}"
      elif len(values) != columns:
        wrong = f"{name} has {len(values)} values instead of {columns}"
      elif known and not known.issuperset(values):
        wrong = f"{name} has values that are none of {', '.join(sorted(known))}"
      if wrong:
        raise ValueError(f"{path}, line {number}: {wrong}. Fetch it again.")
      listed.add(name)
    missing = faces - listed
    if missing:
      raise ValueError(
        f"{path} lacks {len(missing)} of the images in {archive}, such as "
        f"{min(missing)}. Fetch it again."
      )


def _decode(example):
  (x, y, width, height), _ = images.window(_PREPROCESSING.crop)
  part = tf.io.decode_and_crop_jpeg(
    example["image"],
    (y, x, height, width),
    channels=3,
    dct_method="INTEGER_ACCURATE",
  )
  attributes = [example["attributes"][name] for name in ALL_ATTRIBUTES]
  return {
    "image": _PREPROCESSING.resized(part),
    "attributes": tf.cast(tf.stack(attributes), tf.float32),
  }
