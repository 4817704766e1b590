"""Runs a model before it is used, to complete its spec and to find errors."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from lc_keras import batched
from lc_keras.generators import binding
from lc_keras.generators import conventions
from lc_keras.generators import part as parts
from lc_keras.generators import pixels as pixel_values

# Number of draws of the prior that a decoder is checked with; of those that it
# decodes a second time; and the factor that moves these far outside the prior.
PROBES = 16
FEW = 3
_FAR = 30.0
_NO_IMAGES = "If outputs are not images, set --plot: --plot=lines draws curves."


def prepare(drafted: Mapping, opened: Mapping[str, parts.Part]) -> dict:
  """Returns a spec with the input of each direction; runs nothing yet.

  Args:
    drafted: See `specs.draft`.
    opened: Its decoder, and perhaps its encoder and its mapping.

  Raises:
    ValueError: The model cannot be used, or contradicts the draft.
  """
  spec = {**drafted}
  conventions.check(
    spec["prior"], spec["pixels"], spec["pixel_range"], spec.get("plot")
  )
  _share_held(spec, opened)
  for direction, part in opened.items():
    spec[direction] = _prepare_direction(part, spec[direction], direction)
  return spec


def complete_decoder(
  spec: Mapping, opened: Mapping[str, parts.Part], drawn: np.ndarray | None
) -> tuple[dict, list[str], np.ndarray]:
  """Runs a decoder, and completes its spec.

  Args:
    spec: See `prepare`.
    opened: Its decoder and perhaps its encoder.
    drawn: Latents [n, ...] from a mapping, as the decoder takes them; None
      draws them from the prior.

  Returns:
    The spec, complete except for the encoder; sentences about the model; and a
    few of its images.

  Raises:
    ValueError: The model cannot be used, or contradicts the draft; the message
      lists what was found.
  """
  spec, part = {**spec}, opened["decode"]
  if drawn is None:
    taken = shape_taken(part, spec["decode"])
    shape = latent_shape(taken, spec.pop("latent_size"))
    drawn = tf.random.stateless_normal([PROBES, *shape], (0, 0))
    drawn = conventions.from_normal(drawn, spec["prior"]).numpy()
  latents, shape = drawn[:PROBES], list(drawn.shape[1:])
  spec["latent_shape"] = shape
  few = _decoded(spec, part, latents[:FEW])
  is_image = spec.get("plot") is None
  spec["decode"]["layout"], spec["image_shape"] = layout(
    shape, few.shape[1:], spec.pop("image_shape"), is_image
  )
  size = batched.rows_at_once(spec["image_shape"], PROBES)
  pixels = np.concatenate(
    [
      _decoded(spec, part, latents[start : start + size])
      for start in range(0, PROBES, size)
    ]
  )
  notes = []
  if np.abs(few - pixels[:FEW]).mean() > 0.01 * np.ptp(pixels):
    notes.append(
      "Warning: the same latent vector gave another image in another batch. "
      "The model uses random numbers, or an image depends on the others of its "
      "batch (batch normalisation as in training): results are not repeatable."
    )
  spec["decode"]["numpy"] = binding.gives_arrays(
    part, spec["decode"], latents[:FEW]
  )
  spec["pixel_range"], told = pixel_values.settle(
    pixels,
    _far(spec, part, latents),
    spec["pixel_range"],
    spec["pixels"] if is_image else pixel_values.ANY,
  )
  notes = [*told, *notes]
  return spec, notes, few


def _share_held(spec, opened):
  """Assigns the held inputs to the directions that have them."""
  held = spec.pop("fixed")
  known = {
    direction: part.inputs if part.inputs is not None else dict(held)
    for direction, part in opened.items()
  }
  for name in held:
    if not any(name in inputs for inputs in known.values()) and all(
      None not in inputs.values() for inputs in known.values()
    ):
      listing = ", ".join(parts.described(known["decode"]))
      raise ValueError(
        f"The model has no input {name!r} that could be fixed: it takes "
        f"{listing}."
      )
  for direction, inputs in known.items():
    # A Python function may have optional inputs of these names.
    every = direction == "decode" and None in inputs.values()
    spec[direction] = {
      **spec[direction],
      "fixed": {
        name: value for name, value in held.items() if every or name in inputs
      },
    }


def _prepare_direction(part, known, direction):
  """Returns the entry of a direction in a spec, with its input and batch."""
  known = {**known, **part.names}
  inputs = part.inputs
  if inputs is None:
    return known
  listing = ", ".join(parts.described(inputs))
  free = [name for name in inputs if name not in known["fixed"]]
  if len(free) != 1:
    ranked = sorted(free, key=lambda name: _rank(name, inputs[name]))
    others = [name for name in free if name in ranked[1:]]
    example = ",".join(f"{name}:VALUE" for name in others)
    raise ValueError(
      f"To {direction}, the model takes {listing or 'nothing'}: "
      + (
        "all but one must be fixed at a value, such as "
        f"--fixed={example} (from Python, fixed={{...}})."
        if others
        else "one input must be left that is not fixed."
      )
    )
  known["input"], spec = free[0], inputs[free[0]]
  if spec is None or spec.shape.rank is None:
    return known
  if spec.shape.rank < 2:
    raise ValueError(
      f"To {direction}, the model takes {listing}: the first dimension of its "
      "input must be the batch, and there must be a second."
    )
  # Pixels may be whole numbers, latents not.
  if not (
    spec.dtype.is_floating or (direction == "encode" and spec.dtype.is_integer)
  ):
    raise ValueError(
      f"To {direction}, the model takes {listing}; it must take numbers of a "
      "floating type. Is this the right signature?"
    )
  if spec.shape[0] is not None:
    known["batch_size"] = spec.shape[0]
  return known


def _rank(name, spec):
  """Returns a sort key that puts the likeliest input for latents first."""
  is_vector = spec is None or (spec.shape.rank or 0) > 1
  return not is_vector, not name.startswith(("z", "lat", "noise", "code"))


def shape_taken(
  part: parts.Part, known: Mapping
) -> tuple[int | None, ...] | None:
  """Returns the shape of a row of a direction's input; None if unknown."""
  spec = (part.inputs or {}).get(known.get("input"))
  if spec is None or spec.shape.rank is None:
    return None
  return tuple(spec.shape[1:])


def run(
  part: parts.Part, known: Mapping, direction: str, rows: np.ndarray
) -> dict[str, np.ndarray]:
  """Runs a direction on arrays; returns all outputs by the model's names.

  Raises:
    ValueError: The model fails.
  """
  call = binding.arrays(part, known)
  try:
    return call(rows)
  except Exception as error:
    raise ValueError(
      f"The model failed when it was asked to {direction} a batch of shape "
      f"[{parts.dims(rows.shape)}]: {type(error).__name__}: {error}"
    ) from error


def numbers(value: np.ndarray, direction: str, name: str) -> np.ndarray:
  """Returns an output as an array of floats, or of whole numbers.

  Raises:
    ValueError: The values are not finite numbers.
  """
  kind = tf.as_dtype(value.dtype)
  if not (kind.is_floating or kind.is_integer):
    raise ValueError(
      f"Asked to {direction}, the model gives the {name} as {value.dtype}: "
      "numbers are needed. Is this the right output?"
    )
  if kind.is_integer:
    return value
  value = value.astype(np.float32)
  broken = 1.0 - np.isfinite(value).mean()
  if broken:
    raise ValueError(
      f"Asked to {direction}, the model gives {broken:.0%} of the {name} as "
      "NaN or infinite. Is it trained, and does it expect other latents "
      "(--prior) or other pixels (--pixel_range)?"
    )
  return value


def _decoded(spec, part, latents):
  """Returns the model's images; notes in the spec which output they are."""
  known = spec["decode"]
  found = run(part, known, "decode", latents)
  asked = known.get("outputs", {}).get("images")
  theirs = asked or (next(iter(found)) if len(found) == 1 else "images")
  if theirs not in found:
    what = f"no output {asked!r}" if asked else "several outputs"
    listing = parts.listing(found)
    if len(latents.shape) > 2 and conventions.layout_of(latents.shape[1:]):
      raise ValueError(
        f"The model takes images of shape [?, {parts.dims(latents.shape[1:])}] "
        f"and gives {what}: is it an encoder, and not a decoder?{listing}"
      )
    raise ValueError(
      f"Asked to decode, the model gives {what}. Name the one that is the "
      f"images with --decode_output:{listing}"
    )
  known["outputs"] = {"images": theirs}
  images = numbers(found[theirs], "decode", "images")
  known["shapes"] = {"images": list(images.shape[1:])}
  if len(images) != len(latents):
    raise ValueError(
      f"The model made {len(images)} images of {len(latents)} latent vectors: "
      "expected one of each."
    )
  return images


def _far(spec, part, latents):
  """Returns images of latents far outside of the prior; None if it has none."""
  if spec["prior"] != "normal":
    return None
  try:
    return _decoded(spec, part, _FAR * latents[:FEW])
  except ValueError:
    return None


def latent_shape(
  shape: Sequence[int | None] | None, given: int | Sequence[int] | None
) -> list[int]:
  """Returns the shape of one latent vector as the model takes it.

  Args:
    shape: Shape of a row of its input; None if unknown.
    given: The user's `latent_size`: a size, a shape or None.

  Raises:
    ValueError: The two do not determine the shape, or contradict each other.
  """
  said = [given] if isinstance(given, int) else list(given or ())
  if not all(isinstance(size, int) and size > 0 for size in said):
    raise ValueError(
      f"latent_size is a size or a shape, such as 128 or (8, 8, 4); got "
      f"{given!r}."
    )
  if shape is None or (None in shape and said):
    if not said:
      raise ValueError(
        "The model does not say how long its latent vectors are: give "
        "latent_size (--latent_size), a size such as 128, or a shape such as "
        "8,8,4 (of PyTorch's DCGAN: 100,1,1)."
      )
    if shape is None or agree(said, shape):
      return said
  what = f"The model takes latents of shape [?, {parts.dims(shape)}]: "
  if None in shape:
    raise ValueError(
      what + "only the size of the batch may be unknown. Give the shape of one "
      "latent, such as --latent_size=8,8,4."
    )
  if said and math.prod(said) != math.prod(shape):
    raise ValueError(
      what + f"leave --latent_size={','.join(map(str, said))} out."
    )
  return list(shape)


def agree(sizes: Sequence[int], shape: Sequence[int | None]) -> bool:
  """Says whether sizes are those of a shape, where these are known."""
  return len(sizes) == len(shape) and all(
    known in (None, size) for size, known in zip(sizes, shape)
  )


def layout(
  latent: Sequence[int],
  shape: Sequence[int],
  given: Sequence[int] | None,
  is_image: bool = True,
) -> tuple[str, list[int]]:
  """Returns one of `conventions.LAYOUTS`, and [height, width, channels].

  For outputs that are not images: `conventions.AS_IS` and their shape.

  Args:
    latent: Shape of a latent vector.
    shape: Shape of one image, as the model returns it.
    given: The user's `image_shape`, for flat images; or None.
    is_image: Whether the outputs are to be images.

  Raises:
    ValueError: The outputs are not images.
  """
  shape, said = list(shape), list(given or ())
  if not all(isinstance(size, int) and size > 0 for size in said):
    raise ValueError(
      f"image_shape is a shape, such as (28, 28, 1); got {given!r}."
    )
  what = f"The model makes images of shape [?, {parts.dims(shape)}]: "
  if len(latent) > 1 and conventions.layout_of(latent):
    if list(latent) == shape:
      raise ValueError(
        f"The model takes and makes images of shape [?, {parts.dims(shape)}]: "
        "it is a whole autoencoder, and not a decoder, and its parts were not "
        "found in it. Give its decoder, and its encoder."
      )
    if len(shape) == 1 and math.prod(shape) < math.prod(latent):
      raise ValueError(
        f"The model takes images of shape [?, {parts.dims(latent)}] and gives "
        f"{shape[0]} numbers of each: it is an encoder, and not a decoder."
      )
  if said and len(shape) == 1 and math.prod(said) != shape[0]:
    raise ValueError(
      what + f"--image_shape={','.join(map(str, said))} has {math.prod(said)} "
      f"numbers, and not {shape[0]}."
    )
  if said and (
    math.prod(said) != math.prod(shape) or len(shape) not in (1, len(said))
  ):
    raise ValueError(
      what + f"leave --image_shape={','.join(map(str, said))} out."
    )
  if not is_image:
    return conventions.AS_IS, said or shape
  found = conventions.layout_of(said or shape)
  if found:
    return found
  if len(shape) == 1:
    raise ValueError(
      what + "they are flat. Give their shape, --image_shape"
      f"{_guess(shape[0])}. Or is this the wrong output? {_NO_IMAGES}"
    )
  raise ValueError(
    what + "expected [batch, height, width, channels] or [batch, channels, "
    "height, width] with 1 or 3 channels, or [batch, height, width]. Is this "
    f"the right output? {_NO_IMAGES}"
  )


def _guess(size):
  """Returns "=28,28,1" of 784, if a square has as many pixels."""
  for channels in (1, 3):
    side = math.isqrt(size // channels)
    if side > 1 and side * side * channels == size:
      return f"={side},{side},{channels}"
  return "=HEIGHT,WIDTH,CHANNELS"


def trace(generator) -> dict[str, bool]:
  """Runs a generator as all jobs do: in a graph, for batches of any size.

  Returns:
    "exportable", whether a model server can run it, and "differentiable",
    whether gradients get through the decoder.

  Raises:
    Exception: It cannot run in a graph.
  """
  decode = tf.function(lambda z: generator.decode(z).mean(), autograph=False)
  latents = tf.ones([FEW, generator.latent_size])
  spec = tf.TensorSpec([None, generator.latent_size], tf.float32)
  graphs = [decode.get_concrete_function(spec)]
  if generator.mapping is not None:
    draw = tf.function(generator.draw, autograph=False)
    graphs.append(draw.get_concrete_function(tf.TensorSpec([None], tf.int64)))
    graphs[1](tf.range(FEW, dtype=tf.int64))
  images = graphs[0](latents)
  if hasattr(generator, "encode"):
    encode = tf.function(lambda x: generator.encode(x).mean(), autograph=False)
    spec = tf.TensorSpec([None, *generator.image_shape], tf.float32)
    graphs.append(encode.get_concrete_function(spec))
    graphs[-1](images)
  return {
    "exportable": not any(map(_runs_python, graphs)),
    "differentiable": _is_differentiable(graphs[0], latents),
  }


def _is_differentiable(decode, latents):
  try:
    with tf.GradientTape() as tape:
      tape.watch(latents)
      images = decode(latents)
    slope = tape.gradient(images, latents)
  except Exception:  # A graph saved without gradients raises several kinds.
    return False
  return slope is not None and bool(tf.reduce_any(slope != 0.0))


def _runs_python(graph):
  """Says whether a graph calls Python, which no server has."""
  definition = graph.graph.as_graph_def()
  nodes = [*definition.node]
  for function in definition.library.function:
    nodes += function.node_def
  return any("PyFunc" in node.op for node in nodes)
