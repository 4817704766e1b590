"""Names of data sets, with the options for reading their pictures.

A name determines its data, so that a run stores nothing else:
`images:/home/me/faces?crop=none&image_size=128`.

>>> from lc_keras.data import names
>>> name = names.join("images:faces/", image_size="128", crop=None)
>>> name
'images:faces?image_size=128'
>>> names.split(name)
('images:', 'faces', {'image_size': '128'})
>>> names.image_shape("64"), names.image_shape("28,28,1")
((64, 64, 3), (28, 28, 1))
"""

import hashlib
import os
import re
from collections.abc import Iterable
from urllib import parse

# Kinds of data sets. In the names of `_PLACES`, a path follows the colon.
IMAGES = "images:"
TF_EXAMPLES = "tf_examples:"
_PLACES = (IMAGES, TF_EXAMPLES)
# Names of the three splits in folders, columns and other data sets.
_SPLITS = {
  "train": ("train", "training"),
  "validation": ("validation", "valid", "val", "dev"),
  "test": ("test", "testing"),
}
SPLIT_NAMES = tuple(name for known in _SPLITS.values() for name in known)


def join(dataset: str, **options: str | None) -> str:
  """Returns the name of a data set with options.

  Args:
    dataset: Such as `celeb_a` or `images:FOLDER`, perhaps with options.
    **options: How to read it; None is the default.
  """
  kind, place, own = split(dataset)
  if kind == IMAGES and place:
    place = os.path.normpath(os.path.expanduser(place))
  given = {key: value for key, value in options.items() if value is not None}
  # Only what `split` could not parse is escaped, to keep names readable.
  query = parse.urlencode(
    sorted((own | given).items()), safe="/,:~ ", quote_via=parse.quote
  )
  place = place.replace("%", "%25").replace("?", "%3F")
  return f"{kind}{place}" + (f"?{query}" if query else "")


def split(name: str) -> tuple[str, str, dict[str, str]]:
  """Returns the kind, place and options in a name; see `join`."""
  whole, _, query = name.partition("?")
  kind = re.match(r"(\w+:)?", whole)[0]  # "" for a name without a colon.
  place = parse.unquote(whole.removeprefix(kind))
  return kind, place, dict(parse.parse_qsl(query, keep_blank_values=True))


def agree(asked: str, known: str) -> bool:
  """Says whether a name equals another one that may have more options.

  >>> from lc_keras.data import names
  >>> names.agree("celeb_a", "celeb_a?image_size=128")
  True
  >>> names.agree("celeb_a?image_size=64", "celeb_a?image_size=128")
  False
  """
  *asked_for, asked_options = split(absolute(asked))
  *known_as, options = split(absolute(known))
  return asked_for == known_as and asked_options.items() <= options.items()


def absolute(name: str) -> str:
  """Returns a name whose paths are absolute."""
  kind, place, options = split(name)
  for key in {"labels", "source_dir"} & options.keys():
    options[key] = beside(place, options[key])
  if kind in _PLACES and place:
    place = os.path.abspath(os.path.expanduser(place))
  escaped = place.replace("%", "%25").replace("?", "%3F")
  return join(f"{kind}{escaped}", **options)


def split_named(name: str) -> str | None:
  """Returns train, validation or test for a name of a split, else None.

  >>> from lc_keras.data import names
  >>> names.split_named("Val"), names.split_named("cats")
  ('validation', None)
  """
  plain = name.strip().lower()
  return next((ours for ours, known in _SPLITS.items() if plain in known), None)


def beside(folder: str, path: str) -> str:
  """Returns the absolute path of a file, here or else in `folder`."""
  path = os.path.expanduser(path)
  there = os.path.join(os.path.expanduser(folder), path)
  is_there = os.path.exists(there) and not os.path.exists(path)
  return os.path.abspath(there if is_there else path)


def digest(text: str) -> str:
  """Returns a short, stable digest of a text."""
  return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


def state_of(paths: Iterable[str]) -> str:
  """Returns a digest of some files' sizes, times and right to be read."""
  whole = hashlib.sha256()
  for path in paths:
    try:
      status = os.stat(path)
    except OSError:
      continue  # Reading it raises an error.
    line = f"{path}\n{status.st_size} {status.st_mtime_ns}\n"
    if not os.access(path, os.R_OK):
      line += "not readable\n"
    whole.update(line.encode(errors="surrogateescape"))
  return whole.hexdigest()


def image_shape(size: str) -> tuple[int, int, int]:
  """Returns (height, width, channels) of an option `image_size`.

  Args:
    size: "64", "height,width" or "height,width,channels".

  Raises:
    ValueError: `size` has another form.
  """
  if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*(,[13])?)?", size):
    raise ValueError(
      f"image_size is {size!r}, and must be 64, height,width or "
      "height,width,channels, with 1 or 3 channels."
    )
  numbers = [int(number) for number in size.split(",")]
  return (*(numbers * 2)[:2], *(numbers[2:] or [3]))


def shares(text: str) -> tuple[float, float, float]:
  """Returns the shares of train, validation and test of an option `splits`.

  Raises:
    ValueError: The text is not three shares, or one is 0.
  """
  try:
    found = tuple(float(part) for part in text.split(","))
  except ValueError:
    found = ()
  if len(found) != 3 or not min(found) > 0 or abs(sum(found) - 1) > 1e-6:
    raise ValueError(
      f"splits is {text!r}, and must be three shares above 0 that make 1: "
      "train, validation and test, such as 0.8,0.1,0.1."
    )
  return found
