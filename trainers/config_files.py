"""Finds the configs, in a checkout and in an installed package.

`--config=toon_faces`, given to the job `vae`, stands for
`--flagfile=configs/toon_faces/vae.cfg`, and `--config=toon_faces/vae_blurry`
for `--flagfile=configs/toon_faces/vae_blurry.cfg`.

absl resolves the paths in a flagfile from the working directory. Here, those
that begin with configs/ and are not found there are those of the package.
"""

import pathlib
from collections.abc import Iterable, Iterator

# setup.py puts the configs of the repository there.
_INSTALLED = pathlib.Path(__file__).parent / "configs"
# The folder that has the configs.
FOLDER = (
  _INSTALLED if _INSTALLED.is_dir() else _INSTALLED.parents[1] / _INSTALLED.name
)


def expand(arguments: Iterable[str], job: str) -> Iterator[str]:
  """Yields the arguments, with --config and --flagfile replaced by their flags.

  Args:
    arguments: A program's arguments, without its name.
    job: The name of the job that --config is for.

  Raises:
    ValueError: A config does not exist, a flagfile cannot be read, or one
      includes itself.
  """
  return _expand(iter(arguments), job, ())


def _expand(arguments, job, readers):
  for argument in arguments:
    name, equals, value = argument.partition("=")
    name = name.lstrip("-")
    if argument == "--":
      yield argument
      yield from arguments
    elif not argument.startswith("-"):
      yield argument
    elif name not in ("config", "flagfile"):
      yield argument.removesuffix(value) + _path(value)
    else:
      value = value if equals else next(arguments, "")
      path = _config(value, job) if name == "config" else _path(value)
      if path in readers:
        raise ValueError(f"{path} includes itself.")
      yield from _expand(_lines(path), job, (*readers, path))


def _path(value):
  """Returns the path, or the installed config if only that exists."""
  path = pathlib.PurePath(value)
  if path.parts[:1] != (FOLDER.name,) or pathlib.Path(path).exists():
    return value
  installed = FOLDER.parent / path
  return str(installed) if installed.exists() else value


def _config(name, job):
  path = FOLDER / (f"{name}.cfg" if "/" in name else f"{name}/{job}.cfg")
  if not path.is_file():
    known = sorted(file.parent.name for file in FOLDER.glob(f"*/{job}.cfg"))
    raise ValueError(
      f"--config={name}: there is no {path}. Configs for {job} are "
      f"{', '.join(known) or 'none'}; --flagfile takes a file of yours."
    )
  return str(path)


def _lines(path):
  try:
    text = pathlib.Path(path).expanduser().read_text(encoding="utf-8")
  except OSError as error:
    raise ValueError(
      f"--flagfile={path} cannot be read: {error.strerror}. Give the path of a "
      "file with one flag a line."
    ) from error
  lines = (line.strip() for line in text.splitlines())
  return (line for line in lines if line and not line.startswith(("#", "//")))
