"""Presets: trained generators with the models learned for them, by name.

A preset is a run folder in half precision that comes with the package, or lies
in the folder that the environment variable LC_KERAS_PRESETS names:

  preset.json        the manifest: data, seed, commit, flags, figures, licence,
                     and the checksum of every other file
  picture.png        its samples
  held_out/          pictures that it was not trained on
  labels.csv         labels of its latents that no model was trained on
  run.json, vae/, attributes/, latents/cache/ ...    as in a run folder

Its folder is never changed. Models learned for a preset go to a run folder of
the user, runs/<name> in the current directory, whose stages are links to the
preset's. `trainers.preset` writes presets.
"""

import base64
import contextlib
import functools
import html
import os
from collections.abc import Mapping

from lc_keras import files

MANIFEST = "preset.json"
PICTURE = "picture.png"
HELD_OUT = "held_out"
LABELS = "labels.csv"
ABOUT = "run.json"
# Environment variable that names one more folder of presets.
VARIABLE = "LC_KERAS_PRESETS"
PACKAGED = os.path.join(os.path.dirname(__file__), "presets")
_FORMAT = 1
_OWN = "runs"


class Preset:
  """A preset, which is loaded by its name; a notebook shows its picture.

  Attributes:
    name: Its name, for `lc_keras.load`.
    folder: Where its files are.
    manifest: JSON values: "line" (a description), "dataset", "seed",
      "commit", "flags" (by stage), "figures", "licence", "files" (checksums).
  """

  def __init__(self, folder: str):
    """Reads the manifest of a preset.

    Raises:
      ValueError: It is damaged, or of another format.
    """
    self.folder = folder
    self.name = os.path.basename(folder)
    self.manifest = files.read_json(os.path.join(folder, MANIFEST))
    if self.manifest.get("format") != _FORMAT:
      raise ValueError(
        f"The preset {self.name!r} has format {self.manifest.get('format')}; "
        f"this version of lc_keras reads {_FORMAT}. Install the version that "
        "it came with."
      )

  @property
  def line(self) -> str:
    """One-line description."""
    return self.manifest["line"]

  @property
  def picture(self) -> str:
    """Path of a PNG file that shows its samples."""
    return os.path.join(self.folder, PICTURE)

  def verify(self) -> None:
    """Compares the checksum of every file.

    Raises:
      ValueError: A file is missing or damaged.
    """
    for name, checksum in self.manifest["files"].items():
      path = os.path.join(self.folder, name)
      if not os.path.exists(path):
        fault = "is missing"
      elif files.checksum(path) != checksum:
        fault = "is damaged: its checksum is not the manifest's"
      else:
        continue
      raise ValueError(
        f"The preset {self.name!r} cannot be used, since {path} {fault}. "
        "Put back a copy of the file, or, if the preset came with lc_keras, "
        "install lc_keras again."
      )

  def __repr__(self):
    return f"{self.name}: {self.line}"

  def _repr_html_(self):
    with open(self.picture, "rb") as file:
      data = base64.b64encode(file.read()).decode()
    return (
      f"<p><b>{html.escape(self.name)}</b>: {html.escape(self.line)}</p>"
      f'<img alt="Samples of {html.escape(self.name)}" '
      f'src="data:image/png;base64,{data}">'
    )


class Presets(Mapping):
  """Presets by name; a table with pictures in a notebook."""

  def __init__(self, folders: Mapping[str, str]):
    """Creates the mapping from the folder of each preset, by name."""
    self._folders = dict(folders)

  def __getitem__(self, name: str) -> Preset:
    return Preset(self._folders[name])

  def __iter__(self):
    return iter(self._folders)

  def __len__(self):
    return len(self._folders)

  def __repr__(self):
    return "\n".join(map(repr, self.values())) or "No presets are installed."

  def _repr_html_(self):
    shown = [one._repr_html_() for one in self.values()]
    return "\n".join(shown) or "No presets are installed."


def presets() -> Presets:
  """Returns the presets that are installed, by name.

  >>> import lc_keras
  >>> "toon_faces" in lc_keras.presets()
  True

  Raises:
    FileNotFoundError: LC_KERAS_PRESETS names a folder without presets.
  """
  found = _folders_in(PACKAGED)
  if place := os.environ.get(VARIABLE):
    more = _folders_in(place)
    if not more:
      fault = "which is no folder"
      if os.path.isdir(place):
        fault = f"none of whose folders has a {MANIFEST}"
      raise FileNotFoundError(
        f"{VARIABLE} names {place!r}, {fault}: name the folder that your "
        "presets are in (--presets_dir of `python -m trainers.preset`), or "
        "unset it."
      )
    found |= more
  return Presets(found)


def is_preset(path: str) -> bool:
  """Returns whether this is a preset's name and not a run folder."""
  path = os.fspath(path)
  return not os.path.exists(os.path.join(path, ABOUT)) and path in presets()


def names() -> str:
  """Returns the names of all presets, for the end of a message."""
  return ", ".join(presets()) or "none is installed"


def readable(path: str) -> str:
  """Returns the folder to read from.

  For a preset it is the user's run folder, if it exists, else the preset's.

  Args:
    path: A run folder, or the name of a preset.

  Raises:
    ValueError: The preset is damaged.
  """
  if not is_preset(path):
    return path
  preset = _verified(presets()[path].folder)
  own = own_folder(preset.name)
  if _preset_of(own) == preset.name:
    _link(preset, own)
    return own
  return preset.folder


def writable(path: str) -> str:
  """Returns the folder to write to.

  For a preset it is the user's run folder, which is created if needed.

  Args:
    path: A run folder, the name of a preset, or what `readable` returned.

  Raises:
    ValueError: The preset is damaged, or another run is in the folder.
  """
  if is_preset(path):
    preset = presets()[path]
  elif os.path.exists(os.path.join(path, MANIFEST)):
    preset = Preset(path)
  else:
    return path
  _verified(preset.folder)
  own = own_folder(preset.name)
  if os.path.exists(os.path.join(own, ABOUT)) and (
    _preset_of(own) != preset.name
  ):
    raise ValueError(
      f"What is learned for the preset {preset.name!r} goes to {own}, and that "
      "is another run. Rename it, or work in another directory."
    )
  _link(preset, own)
  return own


def held_out(folder: str) -> list[str]:
  """Returns the paths of a preset's pictures; none for another run folder."""
  pictures = os.path.join(folder, HELD_OUT)
  if not os.path.isdir(pictures):
    return []
  return [os.path.join(pictures, name) for name in sorted(os.listdir(pictures))]


def own_folder(name: str) -> str:
  """Returns the user's run folder for a preset, which may not exist yet."""
  return os.path.join(_OWN, name)


def _folders_in(place):
  """Returns the folder of each preset in a place, by name."""
  return {
    name: os.path.join(os.path.abspath(place), name)
    for name in (sorted(os.listdir(place)) if os.path.isdir(place) else ())
    if os.path.exists(os.path.join(place, name, MANIFEST))
  }


def _preset_of(folder):
  """Returns the name of a run folder's preset; None for another run."""
  path = os.path.join(folder, ABOUT)
  return files.read_json(path).get("preset") if os.path.exists(path) else None


@functools.cache
def _verified(folder):
  """Returns a preset; verifies its files once per process."""
  preset = Preset(folder)
  preset.verify()
  return preset


def _link(preset, own):
  """Creates a run folder whose stages are links to a preset's."""
  os.makedirs(own, exist_ok=True)
  for name in {path.partition("/")[0] for path in preset.manifest["files"]}:
    target, link = (os.path.join(one, name) for one in (preset.folder, own))
    if name == ABOUT or (os.path.exists(link) and not os.path.islink(link)):
      continue  # The user has trained this stage again.
    if os.path.islink(link) and os.readlink(link) != target:
      os.remove(link)  # The package has moved.
    with contextlib.suppress(FileExistsError):
      os.symlink(target, link)
  # Last: this file marks a run folder.
  if not os.path.exists(os.path.join(own, ABOUT)):
    files.copy(os.path.join(preset.folder, ABOUT), os.path.join(own, ABOUT))
