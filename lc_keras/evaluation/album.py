"""An HTML page of pictures and text, written section by section."""

import os
from collections.abc import Mapping, Sequence

import jinja2
from PIL import Image

from lc_keras import files
from lc_keras import plotting


def template(name: str, **filters) -> jinja2.Template:
  """Returns a template of this package.

  Args:
    name: Name of its file.
    **filters: Filters that it uses, by name.
  """
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader("lc_keras.evaluation"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  environment.filters |= filters
  return environment.get_template(name)


class Album:
  """A page, index.html, and its pictures in a folder.

  It needs only the files beside it, and is complete after every section.

  Attributes:
    path: Path of the page.
  """

  def __init__(self, folder: str, title: str, text: str):
    """Begins a page without sections.

    Args:
      folder: Created if missing; files with the name of the page or of a
        picture are replaced.
      title: Title of the page.
      text: Text below the title.
    """
    os.makedirs(folder, exist_ok=True)
    self.path = os.path.join(folder, "index.html")
    self._folder = folder
    self._about = {"title": title, "text": text}
    self._sections = []

  def add(
    self,
    title: str,
    text: str,
    *,
    picture: Image.Image | None = None,
    table: Sequence[Mapping] = (),
    command: str = "",
  ) -> str | None:
    """Adds a section, and writes the page.

    Args:
      title: Its title.
      text: Its text.
      picture: Its picture, which is saved beside the page.
      table: Its rows; the keys of the first are the heads of the columns.
      command: Code that does the same.

    Returns:
      The path of the picture, if there is one.
    """
    section = {"title": title, "text": text, "command": command}
    section |= {"table": list(table), "picture": None, "size": (0, 0)}
    path = None
    if picture is not None:
      section["picture"] = f"{len(self._sections) + 1:02}.png"
      section["size"] = picture.size
      path = os.path.join(self._folder, section["picture"])
      plotting.save(picture, path)
    self._sections.append(section)
    page = template("album.html.jinja").render(
      self._about, sections=self._sections
    )
    files.write_text(self.path, page)
    return path
