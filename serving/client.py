"""Asks a server for images: from Python, and from the command line.

  python -m serving.client sample --want="Smiling, not Male" --out=faces.png
  python -m serving.client transform --image=me.png --want=Smiling --out=us.png

What can be wanted is written as `constraints.language` reads it.

The server may be ours or a TensorFlow Serving; all that the client knows of the
model, it learns from the server.
"""

import functools
import sys
from collections.abc import Mapping, Sequence

import grpc
import numpy as np
from absl import app
from absl import flags
from absl import logging
from PIL import Image
from PIL import ImageOps
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from lc_keras import attributes as attributes_lib
from lc_keras.constraints import constraint as constraint_lib
from lc_keras.constraints import language
from lc_keras.evaluation import pictures
from serving import tensors

Arrays = dict[str, np.ndarray]

# What answers `sample` and `transform` themselves; others have signatures of
# their own.
_ACTOR = "actor"
# Smallest side of an image in a picture, in screen pixels.
_VISIBLE = 128
_COLUMNS = 8
# What the command line needs of a row.
_SHOWN = ("images", "attribute_probabilities", "converged")


class RequestError(Exception):
  """A request that failed, in a sentence.

  Attributes:
    code: The server's status code; None if no server was found.
  """

  def __init__(self, text: str, code: grpc.StatusCode | None = None):
    super().__init__(text)
    self.code = code


class LatentClient:
  """The signatures of an exported model, numpy in and numpy out.

  What goes in and what comes out is documented in `endpoints`, by the same
  names. All methods raise RequestError.
  """

  def __init__(
    self, address: str, model_name: str = "default", timeout: float = 60.0
  ):
    """Names a server; the first call connects.

    Args:
      address: host:port.
      model_name: What the server calls the model.
      timeout: Seconds that a call may take, the wait for a server that is
        still starting included.
    """
    self._address = address
    self._model_name = model_name
    self._timeout = timeout
    self._channel = grpc.insecure_channel(
      address,
      options=[
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
      ],
    )
    self._stub = prediction_service_pb2_grpc.PredictionServiceStub(
      self._channel
    )

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def close(self) -> None:
    """Ends the connection."""
    self._channel.close()

  def connect(self, timeout: float | None = None) -> bool:
    """Returns whether there is a server, waiting for it if need be.

    Args:
      timeout: Seconds to wait; None means the client's own.
    """
    code, _ = self._probe(
      self._timeout if timeout is None else timeout, wait_for_ready=True
    )
    return code != grpc.StatusCode.DEADLINE_EXCEEDED

  def sample(
    self,
    attributes: np.ndarray,
    mask: np.ndarray,
    seeds: np.ndarray,
    outputs: Sequence[str] = (),
    sampler: str = _ACTOR,
    realism_weight: float = 1.0,
  ) -> Arrays:
    """Draws an image per row.

    Args:
      attributes: [n, K] in [0, 1], what is wanted.
      mask: [n, K] from 0 up, how much it counts; 0 leaves it open.
      seeds: [n].
      outputs: Names of what to return; by default everything.
      sampler: "actor", or one that the model has `sample_NAME` for.
      realism_weight: How much realism counts; only 1 for the actor.
    """
    return self._draw(
      "sample",
      sampler,
      {
        "attributes": _floats(attributes),
        "mask": _floats(mask),
        "seed": _ints(seeds),
      },
      {"realism_weight": realism_weight},
      outputs,
    )

  def transform(
    self,
    images: np.ndarray,
    attributes: np.ndarray,
    mask: np.ndarray,
    seeds: np.ndarray,
    outputs: Sequence[str] = (),
    sampler: str = _ACTOR,
    realism_weight: float = 1.0,
    strength: float = 1.0,
  ) -> Arrays:
    """Changes what the mask marks in each image.

    Args:
      images: [n, height, width, channels] in [0, 1].
      attributes: As of `sample`.
      mask: [n, K] from 0 up, how much it counts; 0 keeps it.
      seeds: [n].
      outputs: As of `sample`.
      sampler: As of `sample`, with `transform_NAME`.
      realism_weight: As of `sample`.
      strength: How much of the change to make; only 1 for all but the actor.
    """
    return self._draw(
      "transform",
      sampler,
      {
        "images": _floats(images),
        "attributes": _floats(attributes),
        "mask": _floats(mask),
        "seed": _ints(seeds),
      },
      {"realism_weight": realism_weight, "strength": strength},
      outputs,
    )

  def encode(self, images: np.ndarray) -> Arrays:
    """Returns mean and scale of each image's posterior."""
    return self._predict("encode", {"images": _floats(images)})

  def decode(self, latents: np.ndarray, outputs: Sequence[str] = ()) -> Arrays:
    """Returns the images of latent vectors."""
    return self._predict("decode", {"latents": _floats(latents)}, outputs)

  def score(
    self, latents: np.ndarray, attributes: np.ndarray, mask: np.ndarray
  ) -> Arrays:
    """Returns realism and attribute probabilities of latent vectors."""
    return self._predict(
      "score",
      {
        "latents": _floats(latents),
        "attributes": _floats(attributes),
        "mask": _floats(mask),
      },
    )

  def describe(self, rows: np.ndarray) -> Arrays:
    """Returns what the attributes are, the same in every row."""
    return self._predict("describe", {"row": _ints(rows)})

  @functools.cached_property
  def attributes(self) -> attributes_lib.Attributes:
    """The model's attributes."""
    described = {key: value[0] for key, value in self.describe([0]).items()}
    names = [name.decode() for name in described["attribute_names"]]
    pairs = np.argwhere(np.triu(described["attribute_excludes"]))
    continuous = np.flatnonzero(described["attribute_continuous"])
    return attributes_lib.Attributes(
      names,
      [(names[first], names[second]) for first, second in pairs],
      [names[column] for column in continuous],
    )

  @functools.cached_property
  def image_shape(self) -> tuple[int, int, int]:
    """(height, width, channels) of the model's images."""
    shape = self._inputs.get("encode", {}).get("images", ())
    if len(shape) != 4:
      raise RequestError(
        f"Model {self._model_name!r} at {self._address} was not exported by "
        "serving.export: it has no signature `encode` that takes images."
      )
    return shape[1:]

  @functools.cached_property
  def _inputs(self) -> dict[str, dict[str, tuple[int, ...]]]:
    """The shape of each input of each signature; -1 is any number of rows."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(
      metadata_field=["signature_def"]
    )
    request.model_spec.name = self._model_name
    response = self._call(self._stub.GetModelMetadata, request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return {
      name: {
        key: tuple(dim.size for dim in info.tensor_shape.dim)
        for key, info in signature.inputs.items()
      }
      for name, signature in signatures.signature_def.items()
    }

  def _draw(self, verb, sampler, inputs, dials, outputs):
    """Calls the signature of a sampler.

    Args:
      verb: "sample" or "transform".
      sampler: Its name.
      inputs: Arrays by name.
      dials: Numbers by name, of which a signature need not take all, since 1
        is what does without.
      outputs: Names of what to return.
    """
    signature = verb if sampler == _ACTOR else f"{verb}_{sampler}"
    if signature not in self._inputs:
      known = [_ACTOR] + [
        name.removeprefix(f"{verb}_")
        for name in sorted(self._inputs)
        if name.startswith(f"{verb}_")
      ]
      raise RequestError(
        f"Model {self._model_name!r} at {self._address} cannot {verb} by "
        f"{sampler!r}, only by {', '.join(known)}."
      )
    for name, value in dials.items():
      if name in self._inputs[signature]:
        inputs[name] = np.full(len(inputs["seed"]), value, np.float32)
      elif value != 1.0:
        raise RequestError(
          f"{verb} by {sampler!r} takes no {name}: leave it out, or choose "
          "another sampler."
        )
    return self._predict(signature, inputs, outputs)

  def _predict(self, signature, inputs, outputs=()):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = self._model_name
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
      request.inputs[name].CopyFrom(tensors.to_proto(value, as_content=True))
    response = self._call(self._stub.Predict, request)
    return {
      name: tensors.to_array(proto) for name, proto in response.outputs.items()
    }

  def _call(self, method, request):
    try:
      return method(request, timeout=self._timeout, wait_for_ready=True)
    except grpc.RpcError as error:
      raise self._explained(error) from error

  def _probe(self, timeout, wait_for_ready):
    """Returns code and text of a call that costs nothing."""
    try:
      self._stub.GetModelMetadata(
        get_model_metadata_pb2.GetModelMetadataRequest(),
        timeout=timeout,
        wait_for_ready=wait_for_ready,
      )
    except grpc.RpcError as error:
      return error.code(), error.details()
    return grpc.StatusCode.OK, ""

  def _explained(self, error):
    code = error.code()
    text = f"{self._address}: {code.name}: {error.details()}"
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
      code_now, reason = self._probe(1.0, wait_for_ready=False)
      if code_now == grpc.StatusCode.UNAVAILABLE:
        return RequestError(
          f"No server at {self._address} within {self._timeout:g} seconds. "
          "Start one with python -m serving.server, or correct the address. "
          f"({reason})"
        )
      text = (
        f"{self._address} did not answer within {self._timeout:g} seconds. Ask "
        "for less, or allow more time."
      )
    elif code == grpc.StatusCode.NOT_FOUND:
      text += ". Is the model's name the one that the server was started with?"
    return RequestError(text, code)


def load_image(path: str, image_shape: Sequence[int]) -> np.ndarray:
  """Reads a picture of any size and format that Pillow reads.

  Args:
    path: The file.
    image_shape: (height, width, channels) that the model takes. The largest
      part from the middle that has these proportions is resized to it.

  Returns:
    float32 [height, width, channels] in [0, 1].

  Raises:
    ValueError: The file is missing, or no picture.
  """
  height, width, channels = image_shape
  try:
    with Image.open(path) as image:
      # Cameras store how they were held; transparent means white.
      image = ImageOps.exif_transpose(image).convert("RGBA")
  except (OSError, ValueError, Image.DecompressionBombError) as error:
    raise ValueError(
      f"{path} cannot be read as a picture: {error}. Give the path of a PNG, "
      "JPEG or other picture."
    ) from error
  white = Image.new("RGBA", image.size, "white")
  image = Image.alpha_composite(white, image)
  image = image.convert("L" if channels == 1 else "RGB")
  image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
  pixels = np.asarray(image, np.float32) / 255.0
  return pixels.reshape(height, width, channels)


def draw_samples(
  client: LatentClient, want: str, n: int, seed: int, sampler: str = _ACTOR
) -> Image.Image:
  """Asks for images and lays them out in a grid.

  Args:
    client: The client.
    want: Such as "Smiling, not Male"; empty for no wishes. Alternatives take
      turns.
    n: Number of images.
    seed: The first image's seed; the others follow.
    sampler: See `LatentClient.sample`.

  Raises:
    RequestError: The server did not do it.
    ValueError: The request cannot be read, or contradicts itself.
  """
  expression = language.parse(want.strip() or "realism", client.attributes)
  constraint = expression.rows(n)
  outputs = client.sample(
    constraint.values,
    constraint.weights,
    seed + np.arange(n),
    _SHOWN,
    sampler,
    expression.realism_weight,
  )
  _report(client.attributes, constraint, outputs)
  columns = min(n, _COLUMNS)
  blanks = np.ones([-n % columns, *client.image_shape], np.float32)
  images = np.concatenate([outputs["images"], blanks])
  return pictures.grid(
    images.reshape(-1, columns, *client.image_shape),
    scale=_scale(client.image_shape),
  )


def draw_transformations(
  client: LatentClient,
  paths: Sequence[str],
  want: str,
  seed: int,
  sampler: str = _ACTOR,
  strength: float = 1.0,
) -> Image.Image:
  """Asks for changed pictures and shows them under the originals.

  Args:
    client: The client.
    paths: Picture files.
    want: Such as "Smiling, not Male". Of alternatives, each picture takes the
      one that it is nearest to.
    seed: The first picture's seed; the others follow.
    sampler: See `LatentClient.transform`.
    strength: See `LatentClient.transform`.

  Raises:
    RequestError: The server did not do it.
    ValueError: A picture cannot be read, or the request cannot, or it
      contradicts itself.
  """
  expression = language.parse(want, client.attributes)
  images = np.stack([load_image(path, client.image_shape) for path in paths])
  constraint = expression.rows(len(images))
  if len(expression.alternatives) > 1:
    latents = client.encode(images)["mean"]
    nothing = np.zeros([len(images), len(client.attributes)])
    read = client.score(latents, nothing, nothing)
    constraint = expression.nearest(read["attribute_probabilities"])
  outputs = client.transform(
    images,
    constraint.values,
    constraint.weights,
    seed + np.arange(len(images)),
    _SHOWN,
    sampler,
    expression.realism_weight,
    strength,
  )
  _report(client.attributes, constraint, outputs)
  return pictures.before_after(
    images, outputs["images"], scale=_scale(client.image_shape)
  )


def _report(
  attributes: attributes_lib.Attributes,
  constraint: constraint_lib.Constraint,
  outputs: Mapping[str, np.ndarray],
):
  """Prints in how many images what was asked for is read."""
  values, mask = constraint.values.numpy(), constraint.mask.numpy() > 0
  for column, name in enumerate(attributes.names):
    for value in np.unique(values[mask[:, column], column]):
      asked = mask[:, column] & (values[:, column] == value)
      read = outputs["attribute_probabilities"][asked, column]
      if value in (0.0, 1.0):
        wish = name if value else f"not {name}"
        what = f"it in {(abs(read - value) < 0.5).sum()} of {len(read)}"
      else:
        wish, what = f"{name} = {value:g}", f"{read.mean():.2g} on average"
      print(f"{wish}: the attribute critic reads {what}")
  print(
    "Realistic and as asked, by the model's own critics: "
    f"{outputs['converged'].sum()} of {len(values)}"
  )


def _scale(image_shape):
  return max(1, round(_VISIBLE / min(image_shape[:2])))


def _floats(values):
  return np.asarray(values, np.float32)


def _ints(values):
  return np.asarray(values, np.int64)


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags; not on import, since other programs share names."""
  flags.DEFINE_string(
    "server",
    "localhost:8500",
    "host:port of the server's gRPC.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "model_name",
    "default",
    "What the server calls the model.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "want",
    "",
    'What is asked for, such as "Smiling, not Male", "Bald or Wearing_Hat" or '
    '"2 * Smiling, 0.5 * realism". `sample` leaves the other attributes open, '
    "`transform` keeps them.",
    flag_values=values,
  )
  flags.DEFINE_multi_string(
    "image",
    [],
    "transform: a picture to change, of any size and format; may be given "
    "several times.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "sampler",
    _ACTOR,
    "How it is made: by the actor, in one step, or by one of the others that "
    "the model was exported with, such as `search`.",
    flag_values=values,
  )
  flags.DEFINE_float(
    "strength",
    1.0,
    "transform: how much of the actor's change to make, 0 for none.",
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "n",
    16,
    "sample: number of images.",
    lower_bound=1,
    upper_bound=1024,
    flag_values=values,
  )
  flags.DEFINE_integer(
    "seed",
    0,
    "Seed of all draws: the same seed gives the same images.",
    lower_bound=0,
    upper_bound=2**62,
    flag_values=values,
  )
  flags.DEFINE_string(
    "out", None, "PNG file to write.", flag_values=values, required=True
  )
  flags.DEFINE_float(
    "timeout",
    60.0,
    "Seconds that a call may take, the wait for a server that is still "
    "starting included.",
    lower_bound=0.001,
    flag_values=values,
  )


def _run(argv):
  args = flags.FLAGS
  logging.set_verbosity(logging.ERROR)
  if len(argv) != 2 or argv[1] not in ("sample", "transform"):
    raise app.UsageError(
      "Say what to do, `sample` or `transform`, and nothing else: "
      f"got {' '.join(argv[1:]) or 'nothing'}."
    )
  if argv[1] == "transform" and not (args.image and args.want.strip()):
    raise app.UsageError("transform needs --image and --want.")
  try:
    with LatentClient(args.server, args.model_name, args.timeout) as client:
      if not client.connect(1.0):
        print(f"Waiting for a server at {args.server}", flush=True)
      if argv[1] == "sample":
        picture = draw_samples(
          client, args.want, args.n, args.seed, args.sampler
        )
      else:
        picture = draw_transformations(
          client,
          args.image,
          args.want,
          args.seed,
          args.sampler,
          args.strength,
        )
    pictures.save(picture, args.out)
  except (RequestError, ValueError, OSError) as error:
    sys.exit(f"Error: {error}")
  print(f"Wrote {args.out}")


def main() -> None:
  """Runs the program."""
  define_flags(flags.FLAGS)
  app.run(_run)


if __name__ == "__main__":
  main()
