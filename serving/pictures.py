"""Pictures of the command-line client, drawn from a server's answers."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from lc_keras import plotting
from lc_keras.constraints import attributes as attributes_lib
from lc_keras.constraints import constraint as constraint_lib
from lc_keras.constraints import requests
from serving import latent_client

# Smallest side of an image in a picture, in screen pixels.
_VISIBLE = 128
COLUMNS = 8
_OUTPUTS = ("images", "attribute_probabilities", "converged")


def draw_samples(
  client: latent_client.LatentClient,
  request: str,
  n: int,
  seed: int,
  sampler: str = latent_client.ACTOR,
) -> Image.Image:
  """Returns a grid of images that match a request.

  Args:
    client: The client.
    request: Such as "Smiling, not Male"; "" leaves every attribute open.
      Alternatives are assigned to images in turn.
    n: Number of images.
    seed: The first image's seed; the others follow.
    sampler: See `LatentClient.sample`.

  Raises:
    RequestError: The call failed.
    ValueError: The request cannot be read, or contradicts itself.
  """
  expression = requests.parse(request.strip() or "realism", client.attributes)
  constraint = expression.rows(n)
  outputs = client.sample(
    constraint.values,
    constraint.weights,
    seed + np.arange(n),
    _OUTPUTS,
    sampler,
    expression.realism_weight,
  )
  report(client.attributes, constraint, outputs)
  columns = min(n, COLUMNS)
  plot = None if client.preprocessing.are_images else plotting.LINES
  images = plotting.pictures(outputs["images"], plot)
  white = 1 if plot is None else 255
  blanks = np.full([-n % columns, *images.shape[1:]], white, images.dtype)
  return plotting.grid(
    np.concatenate([images, blanks]).reshape(-1, columns, *images.shape[1:]),
    scale=scale_of(images.shape[1:]),
  )


def draw_transformations(
  client: latent_client.LatentClient,
  paths: Sequence[str],
  request: str,
  seed: int,
  sampler: str = latent_client.ACTOR,
  strength: float = 1.0,
) -> Image.Image:
  """Returns pictures, and below each its edit by a request.

  Each picture gets the nearest of several alternatives.

  Args:
    client, request, seed: See `draw_samples`.
    paths: Picture files.
    sampler, strength: See `LatentClient.transform`.

  Raises:
    RequestError: The call failed.
    ValueError: A picture cannot be read, or the request cannot, or it
      contradicts itself.
  """
  expression = requests.parse(request, client.attributes)
  images = np.stack([client.preprocess(path) for path in paths])
  constraint = expression.rows(len(images))
  if len(expression.alternatives) > 1:
    latents = client.encode(images)["mean"]
    nothing = np.zeros([len(images), len(client.attributes)])
    scores = client.score(latents, nothing, nothing)
    constraint = expression.nearest(scores["attribute_probabilities"])
  outputs = client.transform(
    images,
    constraint.values,
    constraint.weights,
    seed + np.arange(len(images)),
    _OUTPUTS,
    sampler,
    expression.realism_weight,
    strength,
  )
  report(client.attributes, constraint, outputs)
  return plotting.before_after(
    images, outputs["images"], scale=scale_of(client.image_shape)
  )


def report(
  attributes: attributes_lib.Attributes,
  constraint: constraint_lib.Constraint,
  outputs: Mapping[str, np.ndarray],
):
  """Prints the number of images in which the critic reads each target."""
  values, mask = constraint.values.numpy(), constraint.mask.numpy() > 0
  for column, name in enumerate(attributes.names):
    for value in np.unique(values[mask[:, column], column]):
      rows = mask[:, column] & (values[:, column] == value)
      read = outputs["attribute_probabilities"][rows, column]
      if value in (0.0, 1.0):
        target = name if value else f"not {name}"
        found = f"it in {(abs(read - value) < 0.5).sum()} of {len(read)}"
      else:
        target = f"{name} = {value:g}"
        found = f"{read.mean():.2g} on average"
      print(f"{target}: the attribute critic reads {found}")
  print(
    "Realistic and as asked, by the model's own judges: "
    f"{outputs['converged'].sum()} of {len(values)}"
  )


def scale_of(image_shape: Sequence[int]) -> int:
  """Returns the scale of an image in a picture, in screen pixels a pixel."""
  return max(1, round(_VISIBLE / min(image_shape[:2])))
