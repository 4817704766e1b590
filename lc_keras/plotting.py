"""Pictures of results: labelled grids of images, and training curves.

Arrays in, `PIL.Image` out; only `save` touches the disk. TensorFlow is not
needed here, and matplotlib is imported by `curves` alone.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from lc_keras import files

_BACKGROUND = (255, 255, 255)
_INK = (32, 32, 32)
# Vermillion of the Okabe-Ito palette: told apart by the colour-blind too.
_HIGHLIGHT = (213, 94, 0)
_GAP = 4  # Pixels around every cell; a highlight's frame is drawn into it.
_FRAME = 3


def grid(
  images: np.ndarray,
  row_labels: Sequence[str] | None = None,
  column_labels: Sequence[str] | None = None,
  scale: int = 1,
  highlight: np.ndarray | None = None,
  cell_labels: np.ndarray | None = None,
) -> Image.Image:
  """Lays images out in rows and columns with labels around them.

  Args:
    images: [rows, columns, height, width, channels], 1 or 3 channels; floats in
      [0, 1], or uint8.
    row_labels: None, or `rows` strings, written to the left; a line break in a
      label is kept.
    column_labels: None, or `columns` strings, written above; broken after
      spaces and underscores where they are wider than a cell.
    scale: Whole number of screen pixels a side that an image pixel gets.
    highlight: None, or [rows, columns] booleans: cells that get a coloured
      frame.
    cell_labels: None, or [rows, columns] strings, written under each cell.

  Returns:
    An RGB `PIL.Image`.

  Raises:
    ValueError: for other shapes, ranges, or numbers of labels.
  """
  cells = _to_uint8(images)
  rows, columns, height, width = cells.shape[:4]
  if scale != int(scale) or scale < 1:
    raise ValueError(f"scale must be a whole number from 1 up, got {scale}.")
  scale = int(scale)
  cells = cells.repeat(scale, axis=2).repeat(scale, axis=3)
  height, width = height * scale, width * scale

  font = ImageFont.load_default(size=max(12, min(18, width // 8)))
  above = _labels(column_labels, (columns,), "column_labels")
  left = _labels(row_labels, (rows,), "row_labels")
  under = _labels(cell_labels, (rows, columns), "cell_labels")
  framed = np.zeros([rows, columns], bool) if highlight is None else highlight
  framed = np.asarray(framed, bool)
  if framed.shape != (rows, columns):
    raise ValueError(
      f"highlight must have shape {(rows, columns)}, one boolean a cell, got "
      f"{framed.shape}."
    )
  above = [_wrapped(label, width, font) for label in above]

  texts = [*above, *under.flat]
  pitch_x = max([width, *(_text_size(text, font)[0] for text in texts)])
  pitch_x += 2 * _GAP
  left_sizes = [_text_size(label, font) for label in left]
  margin_x = max((size[0] for size in left_sizes), default=0)
  margin_x += 2 * _GAP if margin_x else 0
  margin_y = max((_text_size(label, font)[1] for label in above), default=0)
  margin_y += 2 * _GAP if margin_y else 0
  under_height = max((_text_size(t, font)[1] for t in under.flat), default=0)
  pitch_y = height + under_height + 2 * _GAP
  pitch_y = max([pitch_y, *(size[1] + 2 * _GAP for size in left_sizes)])

  picture = Image.new(
    "RGB",
    (margin_x + columns * pitch_x, margin_y + rows * pitch_y),
    _BACKGROUND,
  )
  draw = ImageDraw.Draw(picture)
  for column, label in enumerate(above):
    middle = margin_x + column * pitch_x + pitch_x // 2
    _write(draw, (middle, margin_y - _GAP), label, font, "md")
  for row in range(rows):
    top = margin_y + row * pitch_y + _GAP
    if len(left):
      middle = (margin_x - _GAP, top + height // 2)
      _write(draw, middle, left[row], font, "rm")
    for column in range(columns):
      start = margin_x + column * pitch_x + (pitch_x - width) // 2
      picture.paste(Image.fromarray(cells[row, column]), (start, top))
      if framed[row, column]:
        edge = (start - _FRAME, top - _FRAME)
        corner = (start + width + _FRAME - 1, top + height + _FRAME - 1)
        draw.rectangle([edge, corner], outline=_HIGHLIGHT, width=_FRAME)
      if under.size:
        middle = (start + width // 2, top + height + _GAP - 1)
        _write(draw, middle, under[row, column], font, "ma")
  return picture


def save(image: Image.Image, path: str | os.PathLike) -> None:
  """Writes a `PIL.Image` to `path` as PNG: the whole file, or none."""
  os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
  with files.replacing(os.fspath(path)) as aside:
    image.save(aside, format="PNG")


def curves(rows: Iterable[Mapping], x: str = "epoch") -> Image.Image:
  """Draws training curves: one panel a metric, its validation beside it.

  Args:
    rows: Mappings of column name to number or text, as `csv.DictReader` reads
      them from a run's log.csv; empty and non-numeric values are left out.
    x: The column along the horizontal axis.

  Returns:
    An RGB `PIL.Image`.

  Raises:
    ValueError: if there are no rows or no column `x`.
  """
  # Imported here: it takes a second, and only this function needs it. Agg is
  # asked for by class, so no display is looked for and pyplot stays untouched.
  from matplotlib import figure
  from matplotlib.backends import backend_agg

  rows = list(rows)
  if not rows or x not in rows[0]:
    found = ", ".join(map(str, rows[0])) if rows else "no rows at all"
    raise ValueError(f"The log needs rows with a column {x!r}, found {found}.")
  series = {}
  for row in rows:
    for name, value in row.items():
      point = _number(row[x]), _number(value)
      if name != x and None not in point:
        series.setdefault(name, []).append(point)
  panels = sorted({name.removeprefix("val_") for name in series})
  if not panels:
    raise ValueError(f"The log holds no numbers beside its column {x!r}.")

  columns = min(3, len(panels))
  lines = math.ceil(len(panels) / columns)
  chart = figure.Figure(
    figsize=(4.2 * columns, 3 * lines), dpi=100, layout="constrained"
  )
  canvas = backend_agg.FigureCanvasAgg(chart)
  axes = chart.subplots(lines, columns, squeeze=False).flat
  for axis, name in zip(axes, panels):
    for key, label, colour in (
      (name, "training", "#0072B2"),
      (f"val_{name}", "validation", "#D55E00"),
    ):
      if key in series:
        mark = "o" if len(series[key]) == 1 else None
        axis.plot(*zip(*series[key]), label=label, color=colour, marker=mark)
    axis.set(title=name, xlabel=x)
    axis.grid(alpha=0.3)
    axis.legend()
  for axis in list(chart.axes)[len(panels) :]:
    axis.remove()
  canvas.draw()
  return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def conditional_samples(
  samples: np.ndarray,
  conditions: Sequence[str],
  read: np.ndarray | None = None,
  scale: int = 1,
) -> Image.Image:
  """Shows what the same prior samples become under each condition.

  Args:
    samples: [conditions, samples, height, width, channels]; column j comes from
      the same draw of the prior in every row.
    conditions: A string for each row.
    read: None, or [conditions, samples] booleans: whether the classifier reads
      the condition; where not, the image is framed.
    scale: As for `grid`.
  """
  highlight = None if read is None else ~np.asarray(read, bool)
  return grid(samples, conditions, scale=scale, highlight=highlight)


def transformations(
  originals: np.ndarray,
  reconstructions: np.ndarray,
  switched: np.ndarray,
  names: Sequence[str],
  on: np.ndarray,
  read: np.ndarray | None = None,
  scale: int = 1,
) -> Image.Image:
  """Shows held-out images with each attribute switched alone.

  Args:
    originals: [images, height, width, channels].
    reconstructions: The same shape.
    switched: [images, K, height, width, channels].
    names: The K attribute names, written above the columns.
    on: [images, K] booleans: whether attribute k was switched on (else off);
      written under each image.
    read: None, or [images, K] booleans: whether the classifier reads the asked
      value; where not, the image is framed.
    scale: As for `grid`.
  """
  originals, reconstructions, switched = map(
    _to_uint8, (originals, reconstructions, switched), (4, 4, 5)
  )
  on = np.asarray(on, bool)
  shape = switched.shape[:2]
  if on.shape != shape or len(names) != shape[1]:
    raise ValueError(
      f"switched shows {shape[0]} images and {shape[1]} attributes: that needs "
      f"as many names and on of shape {shape}, got {len(names)} and {on.shape}."
    )
  _check_same(originals=originals, reconstructions=reconstructions)
  _check_same(originals=originals, switched=switched[:, 0])
  images = np.concatenate(
    [originals[:, None], reconstructions[:, None], switched], axis=1
  )
  words = np.where(on, "on", "off")
  blank = np.full([len(images), 2], "")
  highlight = np.zeros(images.shape[:2], bool)
  if read is not None:
    highlight[:, 2:] = ~np.asarray(read, bool)
  return grid(
    images,
    column_labels=["original", "recon-\nstruction", *names],
    scale=scale,
    highlight=highlight,
    cell_labels=np.concatenate([blank, words], axis=1),
  )


def before_after(
  before: np.ndarray,
  after: np.ndarray,
  row_labels: Sequence[str] | None = None,
  captions: Sequence[str] | None = None,
  scale: int = 1,
) -> Image.Image:
  """Shows pairs side by side, one pair a column.

  Args:
    before: [images, height, width, channels].
    after: The same shape.
    row_labels: None, or the names of the two rows.
    captions: None, or a string for each pair, written above it.
    scale: As for `grid`.
  """
  before, after = _to_uint8(before, 4), _to_uint8(after, 4)
  _check_same(before=before, after=after)
  labels = ["before", "after"] if row_labels is None else row_labels
  return grid(np.stack([before, after]), labels, captions, scale)


def _to_uint8(images, rank=5):
  """Checks images of any leading dimensions; returns uint8 RGB."""
  images = np.asarray(images)
  layout = ["rows", "columns"][: rank - 3] + ["height", "width", "channels"]
  if rank == 4:
    layout[0] = "images"
  if images.ndim != rank or images.shape[-1] not in (1, 3) or not images.size:
    raise ValueError(
      f"Images must have shape [{', '.join(layout)}] with 1 or 3 channels and "
      f"at least one image, got {list(images.shape)}."
    )
  if images.dtype != np.uint8:
    if not np.issubdtype(images.dtype, np.floating):
      raise ValueError(
        f"Images must be floats in [0, 1] or uint8, got {images.dtype}."
      )
    # A thousandth of tolerance: rounding in float16 or a resize is no mistake.
    low, high = images.min(), images.max()
    if not (low >= -1e-3 and high <= 1 + 1e-3):
      raise ValueError(
        f"Images of floats must lie in [0, 1], got values from {low} to {high};"
        " divide pixels of 0 to 255 by 255, or pass them as uint8."
      )
    images = np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
  if images.shape[-1] == 1:
    images = images.repeat(3, axis=-1)
  return images


def _check_same(**arrays):
  """Raises ValueError unless the two named arrays have one shape."""
  (first, one), (second, other) = arrays.items()
  if one.shape != other.shape:
    raise ValueError(
      f"{first} and {second} must have the same shape of images, got "
      f"{list(one.shape)} and {list(other.shape)}."
    )


def _labels(labels, shape, name):
  """Checks labels against the grid; returns an array of str, empty if none."""
  if labels is None:
    return np.empty([0] * len(shape), object)
  labels = np.asarray(labels, object)
  if labels.shape != shape:
    raise ValueError(
      f"{name} must have shape {shape} to fit the images, got {labels.shape}."
    )
  return np.vectorize(str, otypes=[object])(labels)


def _wrapped(text, width, font):
  """Breaks text after spaces and underscores to fit `width` where it can."""
  lines = []
  for paragraph in text.split("\n"):
    line = ""
    for word in paragraph.replace("_", "_ ").split(" "):
      # A space that was there comes back; one put after "_" does not.
      joined = line + ("" if not line or line.endswith("_") else " ") + word
      if line and font.getlength(joined) > width:
        lines.append(line)
        line = word
      else:
        line = joined
    lines.append(line)
  return "\n".join(lines)


def _text_size(text, font):
  """Returns width and height of a label, in pixels."""
  if not text:
    return 0, 0
  lines = text.split("\n")
  ascent, descent = font.getmetrics()
  width = max(font.getlength(line) for line in lines)
  return math.ceil(width), len(lines) * (ascent + descent)


def _write(draw, position, text, font, anchor):
  """Writes a label line by line, so that its height is what was measured."""
  lines = text.split("\n")
  height = sum(font.getmetrics())
  x, y = position
  y -= {"a": 0, "m": len(lines) * height // 2, "d": len(lines) * height}[
    anchor[1]
  ]
  for index, line in enumerate(lines):
    draw.text((x, y + index * height), line, _INK, font, f"{anchor[0]}a")


def _number(value):
  """Returns a finite float, or None."""
  try:
    number = float(value)
  except (TypeError, ValueError):
    return None
  return number if math.isfinite(number) else None


def in_rows(images: np.ndarray, columns: int) -> Image.Image:
  """Draws images row by row; leaves out those that do not fill a row.

  Args:
    images: [images, height, width, channels].
    columns: Most images in a row.
  """
  return grid(_split_into_rows(images, columns))


def pairs(
  images: np.ndarray, reconstructions: np.ndarray, columns: int
) -> Image.Image:
  """Draws each row of images above the row of their reconstructions.

  Args:
    images: [images, height, width, channels].
    reconstructions: The same shape.
    columns: Most images in a row.
  """
  both = np.stack(
    [_split_into_rows(part, columns) for part in (images, reconstructions)],
    axis=1,
  )
  both = both.reshape(-1, *both.shape[2:])
  return grid(both, ["image", "reconstruction"] * (len(both) // 2))


def _split_into_rows(images, columns):
  columns = min(columns, len(images))
  rows = len(images) // columns
  return images[: rows * columns].reshape(rows, columns, *images.shape[1:])
