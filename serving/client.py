"""Asks a server for images, from the command line.

  python -m serving.client sample --want="Smiling, not Male" --out=faces.png
  python -m serving.client transform --image=me.png --want=Smiling --out=us.png

What can be wanted is written as `constraints.language` reads it.

The server may be ours or a TensorFlow Serving; all that the client knows of the
model, it learns from the server.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import BinaryIO

import grpc
import numpy as np
from absl import app
from absl import flags
from absl import logging
from etils import epy
from PIL import Image
from PIL import ImageOps

with epy.lazy_imports():
  from lc_keras import plotting
  from lc_keras.constraints import attributes as attributes_lib
  from lc_keras.constraints import constraint as constraint_lib
  from lc_keras.constraints import language
  from serving import latent_client

# Smallest side of an image in a picture, in screen pixels.
_VISIBLE = 128
_COLUMNS = 8
# As in `latent_client`, which takes seconds to load.
_ACTOR = "actor"
# What the command line needs of a row.
_SHOWN = ("images", "attribute_probabilities", "converged")


def load_image(
  path: str | BinaryIO, image_shape: Sequence[int], name: str = ""
) -> np.ndarray:
  """Reads a picture of any size and format that Pillow reads.

  Args:
    path: The file, or its path.
    image_shape: (height, width, channels) that the model takes. The largest
      part from the middle that has these proportions is resized to it.
    name: What an error calls it; by default the path.

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
      f"{name or path} cannot be read as a picture: {error}. Give a PNG, JPEG "
      "or other picture."
    ) from error
  white = Image.new("RGBA", image.size, "white")
  image = Image.alpha_composite(white, image)
  image = image.convert("L" if channels == 1 else "RGB")
  image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
  pixels = np.asarray(image, np.float32) / 255.0
  return pixels.reshape(height, width, channels)


def draw_samples(
  client: latent_client.LatentClient,
  want: str,
  n: int,
  seed: int,
  sampler: str = _ACTOR,
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
  return plotting.grid(
    images.reshape(-1, columns, *client.image_shape),
    scale=_scale(client.image_shape),
  )


def draw_transformations(
  client: latent_client.LatentClient,
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
  return plotting.before_after(
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


def define_server_flags(values: flags.FlagValues) -> None:
  """Defines which model of which server is asked."""
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


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags; not on import, since other programs share names."""
  define_server_flags(values)
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
  flags.DEFINE_string(
    "token_file",
    None,
    "File with the bearer token that the server wants, if it wants one.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "root_certificates",
    None,
    "PEM file of the certificates that the server's is trusted by: speaks TLS.",
    flag_values=values,
  )


def _connected(args):
  """Returns a client for the server that the flags name."""
  token = credentials = None
  if args.token_file:
    with open(args.token_file, encoding="utf-8") as file:
      token = file.read().strip()
  if args.root_certificates:
    with open(args.root_certificates, "rb") as file:
      credentials = grpc.ssl_channel_credentials(file.read())
  return latent_client.LatentClient(
    args.server,
    args.model_name,
    args.timeout,
    token=token,
    credentials=credentials,
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
    with _connected(args) as client:
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
    plotting.save(picture, args.out)
  except (latent_client.RequestError, ValueError, OSError) as error:
    sys.exit(f"Error: {error}")
  print(f"Wrote {args.out}")


def main() -> None:
  """Runs the program."""
  define_flags(flags.FLAGS)
  app.run(_run)


if __name__ == "__main__":
  main()
