"""Networks by name, for the setting `architecture`.

"celeb_a" and "mlp" are the published networks (Engel et al. 2018, appendix);
"mlp_small" is "mlp" for images of a few pixels; "residual" is ours for
photographs, "toon_faces" is chosen by measurement to learn fast on a CPU;
"conv_small" and "conv_medium" are common ones, for comparison.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from lc_keras.models import layers

Shape = Sequence[int]
Layers = list[keras.layers.Layer]


@dataclasses.dataclass(frozen=True)
class Architecture:
  """The networks that take or make pixels, as lists of layers.

  Attributes:
    encoder: (image_shape, outputs) -> [batch, *image_shape] to
      [batch, outputs].
    decoder: (latent_size, image_shape) -> [batch, latent_size] to logits
      [batch, *image_shape].
    classifier: (image_shape) -> [batch, *image_shape] to features [batch, d].
    generator: Like `decoder`, to be trained against a discriminator.
    multiple: The sides of an image must be multiples of this.
  """

  encoder: Callable[[Shape, int], Layers]
  decoder: Callable[[int, Shape], Layers]
  classifier: Callable[[Shape], Layers]
  generator: Callable[[int, Shape], Layers]
  multiple: int = 1


def get(name: str, image_shape: Shape) -> Architecture:
  """Returns an architecture that fits images of this shape.

  Args:
    name: One of `NAMES`.
    image_shape: (height, width, channels).

  Raises:
    ValueError: The name is unknown, or the images do not fit.
  """
  if name not in _ARCHITECTURES:
    raise ValueError(
      f"Unknown architecture {name!r}; known: {', '.join(NAMES)}."
    )
  architecture = _ARCHITECTURES[name]
  if any(side % architecture.multiple for side in image_shape[:2]):
    raise ValueError(
      f"Architecture {name!r} needs image sides that are multiples of "
      f"{architecture.multiple}; got {tuple(image_shape)}. 'mlp' takes any "
      "size."
    )
  return architecture


def stack(input_shape: Shape, network: Layers, name: str) -> keras.Sequential:
  """Returns the layers as one built network."""
  return keras.Sequential(
    [keras.Input(tuple(input_shape)), *network], name=name
  )


def trunk(inputs: int, width: int, depth: int, outputs: int) -> Layers:
  """Returns `depth` ReLU layers and a linear one."""
  sizes = [inputs] + [width] * depth
  hidden = [dense(a, b, "relu") for a, b in zip(sizes, sizes[1:])]
  return [*hidden, dense(sizes[-1], outputs)]


def on_latents(
  latent_size: int,
  width: int,
  depth: int,
  outputs: int,
  scales: Sequence[float] | None = None,
  dropout: float = 0.0,
  name: str = "trunk",
) -> keras.Sequential:
  """Returns a network that reads latents.

  Args:
    latent_size: Size of z.
    width: Units of every hidden layer.
    depth: Number of hidden layers.
    outputs: Units of the last layer.
    scales: Factors of the first axes of z, the only ones that it sees, see
      `mapping.Draws.scales`; None lets it see all of z.
    dropout: Share of the last hidden units that a training step leaves out.
    name: Name of the network.
  """
  first = [] if scales is None else [layers.Axes(scales)]
  *hidden, last = trunk(len(scales or ()) or latent_size, width, depth, outputs)
  left_out = [keras.layers.Dropout(dropout)] if dropout else []
  return stack((latent_size,), [*first, *hidden, *left_out, last], name)


def dense(inputs: int, units: int, activation: str | None = None):
  """Returns a linear layer with the published initialisation."""
  return layers.Dense(
    units, activation, kernel_initializer=_fan_in_normal(inputs)
  )


def condition(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
  """Returns a request as a network's input, [batch, 2 * num_attributes].

  Args:
    values: [batch, num_attributes] in [0, 1], the targets.
    mask: [batch, num_attributes] in {0, 1}: 0 leaves an attribute open, and
      hides its value.
  """
  return tf.concat([values * mask, mask], axis=-1)


def _fan_in_normal(fan_in: float) -> keras.initializers.Initializer:
  # Truncated normal with 1/sqrt(fan_in), as published. The fan-in is given
  # explicitly because Keras takes the OUTPUT channels of a transposed
  # convolution for it.
  return keras.initializers.TruncatedNormal(stddev=1.0 / math.sqrt(fan_in))


def _conv(
  inputs: int,
  filters: int,
  kernel: int,
  strides: int = 1,
  activation: str | None = "relu",
  scale: float = 1.0,
):
  return keras.layers.Conv2D(
    filters,
    kernel,
    strides,
    "same",
    activation=activation,
    kernel_initializer=_fan_in_normal(inputs * kernel**2 / scale**2),
  )


def _deconv(
  inputs: int, filters: int, kernel: int, activation: str | None = "relu"
):
  return keras.layers.Conv2DTranspose(
    filters,
    kernel,
    2,
    "same",
    activation=activation,
    kernel_initializer=_fan_in_normal(inputs * kernel**2),
  )


# --- celeb_a: method.md's networks, 94.0 M and 60.4 M parameters at 64x64x3.


def _celeb_a_encoder(image_shape: Shape, outputs: int) -> Layers:
  height, width, channels = image_shape
  return [
    _conv(channels, 256, 5, 2),
    _conv(256, 512, 5, 2),
    _conv(512, 1024, 3, 2),
    _conv(1024, 2048, 3, 2),
    keras.layers.Flatten(),
    dense(height // 16 * (width // 16) * 2048, outputs),
  ]


def _celeb_a_decoder(latent_size: int, image_shape: Shape) -> Layers:
  height, width, channels = image_shape
  grid = (height // 16, width // 16, 2048)
  return [
    dense(latent_size, math.prod(grid)),  # No activation: as published.
    keras.layers.Reshape(grid),
    _deconv(2048, 1024, 3),
    _deconv(1024, 512, 3),
    _deconv(512, 256, 5),
    _deconv(256, channels, 5, activation=None),
  ]


def _celeb_a_classifier(image_shape: Shape) -> Layers:
  return [
    _conv(image_shape[-1], 256, 5, 2),
    _conv(256, 256, 3),
    _conv(256, 512, 5, 2),
    _conv(512, 512, 3),
    _conv(512, 1024, 3, 2),
    _conv(1024, 2048, 3, 2),
    keras.layers.Flatten(),
  ]


# --- residual: a tenth of celeb_a's arithmetic. At 64x64x3 and 1,024 latents,
# 304 M products per image instead of 3,026 M, and 27 M parameters instead of
# 154 M. All layers work at 16x16 positions or fewer, in residual blocks.

_WIDTHS = (96, 192, 384)  # Channels at 1/4, 1/8 and 1/16 of the size.


def _block(channels: int):
  return layers.Residual(
    _conv(channels, channels, 3, activation=None),
    _conv(channels, channels, 3, activation=None, scale=0.1),
  )


def _residual_classifier(image_shape: Shape) -> Layers:
  inputs, block = image_shape[-1], 4
  network = []
  for width in _WIDTHS:
    network += [
      layers.SpaceToDepth(block),
      _conv(block**2 * inputs, width, 1, activation=None),
      _block(width),
    ]
    inputs, block = width, 2
  return [*network, keras.layers.ReLU(), keras.layers.Flatten()]


def _residual_encoder(image_shape: Shape, outputs: int) -> Layers:
  height, width, _ = image_shape
  size = height // 16 * (width // 16) * _WIDTHS[-1]
  return [*_residual_classifier(image_shape), dense(size, outputs)]


def _residual_decoder(latent_size: int, image_shape: Shape) -> Layers:
  height, width, channels = image_shape
  grid = (height // 16, width // 16, _WIDTHS[-1])
  network = [
    dense(latent_size, math.prod(grid)),
    keras.layers.Reshape(grid),
    _block(_WIDTHS[-1]),
  ]
  for inputs, filters in zip(_WIDTHS[::-1], _WIDTHS[-2::-1]):
    network += [
      _conv(inputs, 4 * filters, 1, activation=None),
      layers.DepthToSpace(2),
      _block(filters),
    ]
  return [
    *network,
    keras.layers.ReLU(),
    _conv(_WIDTHS[0], 16 * channels, 3, activation=None),
    layers.DepthToSpace(4),
  ]


# --- mlp: the published MNIST networks, for images of any shape, and mlp_small,
# for images of a few pixels.


def _mlp_encoder(width: int, image_shape: Shape, outputs: int) -> Layers:
  pixels = math.prod(image_shape)
  return [keras.layers.Flatten(), *trunk(pixels, width, 3, outputs)]


def _mlp_decoder(width: int, latent_size: int, image_shape: Shape) -> Layers:
  pixels = math.prod(image_shape)
  return [
    *trunk(latent_size, width, 3, pixels),
    keras.layers.Reshape(tuple(image_shape)),
  ]


def _mlp_classifier(width: int, image_shape: Shape) -> Layers:
  pixels = math.prod(image_shape)
  return [
    keras.layers.Flatten(),
    dense(pixels, width, "relu"),
    dense(width, width, "relu"),
  ]


def _mlp_architecture(width: int) -> Architecture:
  decoder = functools.partial(_mlp_decoder, width)
  return Architecture(
    functools.partial(_mlp_encoder, width),
    decoder,
    functools.partial(_mlp_classifier, width),
    generator=decoder,
  )


# --- toon_faces: 64x64x3 cartoons. A 4x4 space-to-depth stem costs nothing and
# leaves 16x16 positions; the decoder's dense layers pay off because the faces
# are roughly aligned (figures in docs/results/ablations.md).


def _toon_faces_encoder(image_shape: Shape, outputs: int) -> Layers:
  height, width, channels = image_shape
  return [
    layers.SpaceToDepth(4),
    _conv(16 * channels, 64, 3),
    _conv(64, 128, 4, 2),
    _conv(128, 256, 4, 2),
    keras.layers.Flatten(),
    dense(height // 16 * (width // 16) * 256, outputs),
  ]


def _toon_faces_decoder(latent_size: int, image_shape: Shape) -> Layers:
  height, width, channels = image_shape
  grid = (height // 8, width // 8, 128)
  return [
    dense(latent_size, 512, "relu"),
    dense(512, math.prod(grid), "relu"),
    keras.layers.Reshape(grid),
    _deconv(128, 96, 4),
    _conv(96, 16 * channels, 3, activation=None),
    layers.DepthToSpace(4),
  ]


def _toon_faces_generator(latent_size: int, image_shape: Shape) -> Layers:
  # Neighbouring pixels share features up to the last layer. Where each has its
  # own, as in the decoder, a discriminator's gradient leaves noise.
  height, width, channels = image_shape
  grid = (height // 16, width // 16, 256)
  return [
    dense(latent_size, math.prod(grid), "relu"),
    keras.layers.Reshape(grid),
    _doubling(256, 128),
    _doubling(128, 64),
    _doubling(64, 32),
    _doubling(32, channels, activation=None),
  ]


def _doubling(inputs: int, filters: int, activation: str | None = "relu"):
  # Initialised after He et al. 2015: of a stride-2 kernel's 4x4 weights, 2x2
  # contribute to an output. At the published scale, images of different latents
  # hardly differ at first (a deviation of 0.001, not 0.05), and learn to late.
  return keras.layers.Conv2DTranspose(
    filters,
    4,
    2,
    "same",
    activation=activation,
    kernel_initializer=_fan_in_normal(inputs * 2),
  )


def _toon_faces_classifier(image_shape: Shape) -> Layers:
  height, width, channels = image_shape
  return [
    layers.SpaceToDepth(2),
    _conv(4 * channels, 32, 3),
    _conv(32, 64, 4, 2),
    _conv(64, 128, 4, 2),
    keras.layers.Flatten(),
    dense(height // 8 * (width // 8) * 128, 256, "relu"),
  ]


# --- conv_small, conv_medium: four 4x4 convolutions of stride 2, and back.


def _conv_encoder(filters: Shape, image_shape: Shape, outputs: int) -> Layers:
  height, width, _ = image_shape
  return [
    *_conv_classifier(filters, image_shape),
    dense(height // 16 * (width // 16) * filters[-1], outputs),
  ]


def _conv_decoder(
  filters: Shape, upsample: Callable, latent_size: int, image_shape: Shape
) -> Layers:
  height, width, channels = image_shape
  grid = (height // 16, width // 16, filters[-1])
  sizes = filters[::-1]
  return [
    dense(latent_size, math.prod(grid), "relu"),
    keras.layers.Reshape(grid),
    *[upsample(a, b) for a, b in zip(sizes, sizes[1:])],
    upsample(sizes[-1], channels, activation=None),
  ]


def _conv_classifier(filters: Shape, image_shape: Shape) -> Layers:
  sizes = (image_shape[-1], *filters)
  return [
    *[_conv(a, b, 4, 2) for a, b in zip(sizes, sizes[1:])],
    keras.layers.Flatten(),
  ]


def _conv_architecture(*filters: int) -> Architecture:
  return Architecture(
    functools.partial(_conv_encoder, filters),
    functools.partial(
      _conv_decoder, filters, functools.partial(_deconv, kernel=4)
    ),
    functools.partial(_conv_classifier, filters),
    generator=functools.partial(_conv_decoder, filters, _doubling),
    multiple=16,
  )


_ARCHITECTURES = {
  "celeb_a": Architecture(
    _celeb_a_encoder,
    _celeb_a_decoder,
    _celeb_a_classifier,
    generator=_celeb_a_decoder,
    multiple=16,
  ),
  "conv_medium": _conv_architecture(32, 64, 128, 256),
  "conv_small": _conv_architecture(32, 32, 64, 128),
  "mlp": _mlp_architecture(1024),
  "mlp_small": _mlp_architecture(64),
  "residual": Architecture(
    _residual_encoder,
    _residual_decoder,
    _residual_classifier,
    generator=_residual_decoder,
    multiple=16,
  ),
  "toon_faces": Architecture(
    _toon_faces_encoder,
    _toon_faces_decoder,
    _toon_faces_classifier,
    generator=_toon_faces_generator,
    multiple=16,
  ),
}
NAMES = tuple(sorted(_ARCHITECTURES))
