"""Pictures of results: labelled grids of images, and charts.

Functions take arrays and return a `PIL.Image`; only `save` writes to the disk.
Nothing here needs TensorFlow.

Grids are pasted by Pillow, pixel by pixel. Matplotlib's ImageGrid takes fifty
times as long for a report's grid of 231 images, and does not keep an image
pixel a whole number of screen pixels wide.
"""

import itertools
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from lc_keras import files
from lc_keras import imports

# The Okabe-Ito palette, which colour-blind readers can distinguish.
_COLOURS = (
  "#0072B2",
  "#D55E00",
  "#009E73",
  "#CC79A7",
  "#E69F00",
  "#56B4E9",
  "#000000",
)
_MARKS = "osD^vPX"
_LINES = ("-", "--", ":", "-.")
# The built-in plot of outputs that are not images.
LINES = "lines"
_BACKGROUND = 255
_INK = (32, 32, 32)
_HIGHLIGHT = (213, 94, 0)  # The palette's vermillion.
_GAP = 4  # Pixels around every cell; a highlight's frame is drawn into it.
_FRAME = 3
_SPACING = 4  # Pixels between two lines of a label.


def plotter(plot) -> Callable | None:
  """Returns a function (axes, output) that draws an output by matplotlib.

  Args:
    plot: None; LINES; "module:function"; or such a function.

  Raises:
    ValueError: It is none of these.
  """
  if plot == LINES:
    return _lines
  if isinstance(plot, str):
    plot = imports.function(plot)
  if plot is not None and not callable(plot):
    raise ValueError(
      f'A plot is "{LINES}", or a function of axes and an output that draws '
      f"it, or its module:function; got {plot!r}."
    )
  return plot


def pictures(outputs: np.ndarray, plot=None) -> np.ndarray:
  """Returns a generator's outputs as images for a grid.

  >>> pictures(np.zeros([2, 8, 500]), "lines").shape
  (2, 200, 320, 3)

  Args:
    outputs: [n, ...].
    plot: See `plotter`; None if the outputs are images.
  """
  draw = plotter(plot)
  if draw is None:
    return outputs
  shown = []
  for output in outputs:
    chart, (axis,) = panels(size=(3.2, 2.0))
    draw(axis, output)
    if draw is _lines:  # All at one scale, to be comparable.
      axis.set_ylim(np.min(outputs), np.max(outputs))
    shown.append(np.asarray(drawn(chart)))
  return np.stack(shown)


def picture_rows(outputs: Sequence[np.ndarray], plot=None) -> np.ndarray:
  """Returns rows of outputs as `pictures` at one scale, [rows, columns, ...].

  Args:
    outputs: For each row, an array [columns, ...].
    plot: See `plotter`.
  """
  shown = pictures(np.concatenate(outputs), plot)
  return shown.reshape(len(outputs), -1, *shown.shape[1:])


def grid(
  images: np.ndarray,
  row_labels: Sequence[str] | None = None,
  column_labels: Sequence[str] | None = None,
  scale: int = 1,
  highlight: np.ndarray | None = None,
  cell_labels: np.ndarray | None = None,
) -> Image.Image:
  """Lays images out in rows and columns with labels around them.

  >>> grid(np.zeros([2, 3, 8, 16, 1])).size
  (72, 32)

  Args:
    images: [rows, columns, height, width, channels], 1 or 3 channels; floats in
      [0, 1], or uint8.
    row_labels: None, or `rows` strings, written to the left; a line break in a
      label is kept.
    column_labels: None, or `columns` strings, written above; broken after
      spaces and underscores where they are wider than a cell.
    scale: Side of an image pixel in screen pixels, a whole number.
    highlight: None, or [rows, columns] booleans: cells that get a coloured
      frame.
    cell_labels: None, or [rows, columns] strings, written under each cell.

  Returns:
    An RGB `PIL.Image`.

  Raises:
    ValueError: Shapes, ranges, or numbers of labels are wrong.
  """
  if scale != int(scale) or scale < 1:
    raise ValueError(f"scale must be a whole number from 1 up, got {scale}.")
  cells = _pixels(images).repeat(int(scale), 2).repeat(int(scale), 3)
  rows, columns, height, width = cells.shape[:4]
  left = _fitting("row_labels", row_labels, [rows], "")
  above = _fitting("column_labels", column_labels, [columns], "")
  under = _fitting("cell_labels", cell_labels, [rows, columns], "")
  framed = _fitting("highlight", highlight, [rows, columns], False)

  font = ImageFont.load_default(size=max(12, min(18, width // 8)))
  above = [_wrapped(label, width, font) for label in above]
  left_width, left_height = _room(left, font)
  above_width, above_height = _room(above, font)
  under_width, under_height = _room(under.flat, font)
  margin_x = left_width + 2 * _GAP if left_width else 0
  margin_y = above_height + 2 * _GAP if above_height else 0
  pitch_x = max(width, above_width, under_width) + 2 * _GAP
  pitch_y = max(height + under_height, left_height) + 2 * _GAP

  sheet = np.full([rows, pitch_y, columns, pitch_x, 3], _BACKGROUND, np.uint8)
  inset = (pitch_x - width) // 2
  for row, column in np.argwhere(framed):
    sheet[
      row,
      _GAP - _FRAME : _GAP + height + _FRAME,
      column,
      inset - _FRAME : inset + width + _FRAME,
    ] = _HIGHLIGHT
  sheet[:, _GAP : _GAP + height, :, inset : inset + width] = cells.swapaxes(
    1, 2
  )
  sheet = sheet.reshape(rows * pitch_y, columns * pitch_x, 3)
  picture = Image.fromarray(
    np.pad(
      sheet,
      [(margin_y, 0), (margin_x, 0), (0, 0)],
      constant_values=_BACKGROUND,
    )
  )

  draw = ImageDraw.Draw(picture)

  def write(x, y, text, anchor, align="center"):
    draw.multiline_text((x, y), text, _INK, font, anchor, _SPACING, align)

  for row, label in enumerate(left):
    middle = margin_y + row * pitch_y + _GAP + height // 2
    write(margin_x - _GAP, middle, label, "rm", "right")
  for column in range(columns):
    middle = margin_x + column * pitch_x + pitch_x // 2
    write(middle, margin_y - _GAP, above[column], "md")
    for row in range(rows):
      bottom = margin_y + row * pitch_y + 2 * _GAP + height
      write(middle, bottom, under[row, column], "ma")
  return picture


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
    read: None, or [images, K] booleans: whether the classifier reads the
      requested value; where not, the image is framed.
    scale: As for `grid`.
  """
  images = np.concatenate(
    [
      np.stack([_pixels(originals), _pixels(reconstructions)], axis=1),
      _pixels(switched),
    ],
    axis=1,
  )
  words = np.where(np.asarray(on, bool), "on", "off")
  highlight = np.zeros(images.shape[:2], bool)
  if read is not None:
    highlight[:, 2:] = ~np.asarray(read, bool)
  return grid(
    images,
    column_labels=["original", "recon-\nstruction", *names],
    scale=scale,
    highlight=highlight,
    cell_labels=np.pad(words, [(0, 0), (2, 0)], constant_values=""),
  )


def before_after(
  before: np.ndarray,
  after: np.ndarray,
  row_labels: Sequence[str] = ("before", "after"),
  captions: Sequence[str] | None = None,
  scale: int = 1,
) -> Image.Image:
  """Shows pairs side by side, one pair a column.

  Args:
    before: [images, height, width, channels].
    after: The same shape.
    row_labels: The names of the two rows.
    captions: None, or a string for each pair, written above it.
    scale: As for `grid`.
  """
  pairs = np.stack([_pixels(before), _pixels(after)])
  return grid(pairs, row_labels, captions, scale)


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


def save(image: Image.Image, path: str | os.PathLike) -> None:
  """Writes a `PIL.Image` to `path` as PNG: the whole file, or none."""
  os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
  with files.replacing(os.fspath(path)) as aside:
    image.save(aside, format="PNG")


def panels(count: int = 1, size: tuple[float, float] = (13.0, 4.5)):
  """Creates a matplotlib figure with a row of axes.

  Args:
    count: Number of axes.
    size: In inches of 100 pixels.

  Returns:
    The figure, and an array of its axes.
  """
  # Imported here: it takes a second, and only charts need it.
  from matplotlib import figure

  chart = figure.Figure(figsize=size, dpi=100, layout="constrained")
  axes = chart.subplots(1, count, squeeze=False)[0]
  for axis in axes:
    axis.grid(alpha=0.3)
  return chart, axes


def drawn(chart) -> Image.Image:
  """Returns a matplotlib figure as a picture."""
  # The Agg canvas is created by class, which needs no display.
  from matplotlib.backends import backend_agg

  canvas = backend_agg.FigureCanvasAgg(chart)
  canvas.draw()
  return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def styles() -> Iterator[dict]:
  """Yields line styles without end, no two of the first 28 alike."""
  for line, (colour, mark) in itertools.cycle(
    itertools.product(_LINES, zip(_COLOURS, _MARKS))
  ):
    yield {"color": colour, "marker": mark, "linestyle": line, "markersize": 4}


def curves(rows: Iterable[Mapping], x: str = "epoch") -> Image.Image:
  """Draws training curves: one panel a metric, its validation beside it.

  Args:
    rows: Mappings of column name to number or text, as `csv.DictReader` reads
      them from a run's log.csv; empty and non-numeric values are left out.
    x: The column along the horizontal axis.

  Raises:
    ValueError: There are no rows, no column `x`, or no numbers beside it.
  """
  rows = list(rows)
  if not rows or x not in rows[0]:
    found = ", ".join(map(str, rows[0])) if rows else "no rows at all"
    raise ValueError(f"The log needs rows with a column {x!r}, found {found}.")
  series = {}
  for row in rows:
    for name, value in row.items():
      point = _number(row[x]), _number(value)
      if name != x and np.isfinite(point).all():
        series.setdefault(name, []).append(point)
  names = sorted({name.removeprefix("val_") for name in series})
  if not names:
    raise ValueError(f"The log holds no numbers beside its column {x!r}.")
  columns = min(3, len(names))
  lines = math.ceil(len(names) / columns)
  chart, (axis,) = panels(size=(4.2 * columns, 3.0 * lines))
  axis.remove()
  for place, name in enumerate(names, start=1):
    axis = chart.add_subplot(lines, columns, place, title=name, xlabel=x)
    for key, label, colour in (
      (name, "training", _COLOURS[0]),
      (f"val_{name}", "validation", _COLOURS[1]),
    ):
      if key in series:
        mark = "o" if len(series[key]) == 1 else None
        axis.plot(*zip(*series[key]), label=label, color=colour, marker=mark)
    axis.grid(alpha=0.3)
    axis.legend()
  return drawn(chart)


def _lines(axis, output):
  rows = np.atleast_1d(output)
  rows = rows.reshape(-1, rows.shape[-1])
  axis.plot(rows.T, linewidth=0.8, marker="." if rows.shape[1] < 16 else None)


def _pixels(images):
  """Checks images [..., height, width, channels]; returns uint8 RGB."""
  images = np.asarray(images)
  if images.ndim < 4 or images.shape[-1] not in (1, 3) or not images.size:
    raise ValueError(
      "Images must have shape [(rows, columns or) images, height, width, "
      "channels] with 1 or 3 channels and at least one image, got "
      f"{list(images.shape)}."
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
  return np.broadcast_to(images, (*images.shape[:-1], 3))


def _fitting(name, values, shape, default):
  """Returns values as an array of this shape; the default if they are None."""
  dtype = object if default == "" else bool
  if values is None:
    return np.full(shape, default, dtype)
  values = np.asarray(values, dtype)
  if list(values.shape) != shape:
    raise ValueError(
      f"{name} must have shape {shape} to fit the images, got "
      f"{list(values.shape)}."
    )
  return values


def _wrapped(text, width, font):
  """Breaks text after spaces and underscores to fit `width` where it can."""
  lines = []
  for paragraph in text.split("\n"):
    line = ""
    for word in re.findall(r"[^ _]*[ _]?", paragraph):
      if line and font.getlength((line + word).rstrip()) > width:
        lines.append(line.rstrip())
        line = ""
      line += word
    lines.append(line)
  return "\n".join(lines)


def _room(texts, font):
  """Returns the width and height, in pixels, that the largest text takes."""
  lines = [text.split("\n") for text in texts if text]
  width = max((font.getlength(line) for line in sum(lines, [])), default=0)
  height = max(map(len, lines), default=0) * sum(font.getmetrics())
  return math.ceil(width), height


def _number(value):
  """Returns a float; NaN for text that is not a number."""
  try:
    return float(value)
  except (TypeError, ValueError):
    return math.nan


def _split_into_rows(images, columns):
  columns = min(columns, len(images))
  rows = len(images) // columns
  return images[: rows * columns].reshape(rows, columns, *images.shape[1:])
