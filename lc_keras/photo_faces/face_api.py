"""Judges of faces from face-api (npm @vladmandic/face-api), in TensorFlow.

Each is a function of aligned images [n, 256, 256, 3] in [0, 1], or of another
size that is a multiple of 64, and runs in a graph. The weights are MIT
licensed.
"""

from collections.abc import Callable

import tensorflow as tf

from lc_keras.photo_faces import crops
from lc_keras.photo_faces import packages
from lc_keras.photo_faces import tfjs_weights

IDENTITY_SIZE = 128
# Faces whose identities are farther apart are those of different people.
SAME_PERSON = 0.6
_HAPPY = 1  # Of neutral, happy, sad, angry, fearful, disgusted, surprised.
_MALE = 0
_CROP, _IDENTITY_CROP = 112, 150
_LANDMARKS = 68
# The detector's input in pixels, mean colour, and anchor boxes in cells.
_DETECTED = 416
_DETECTOR_MEAN = (117.001, 114.697, 97.404)
_ANCHORS = (
  (1.603231, 2.094468),
  (6.041143, 7.080126),
  (2.882459, 3.518061),
  (4.266906, 5.178857),
  (9.041765, 10.66308),
)

Judge = Callable[[tf.Tensor], tf.Tensor]


def smile(data_dir: str = "data") -> Judge:
  """Returns a judge of the probability of a smile, [n].

  Args:
    data_dir: See `packages.folder`.
  """
  weights = _read("face_expression", data_dir)

  def read(images):
    x = _dense_blocks(weights, crops.face(images, _CROP))
    return tf.nn.softmax(_linear(weights, "fc", x))[:, _HAPPY]

  return read


def male(data_dir: str = "data") -> Judge:
  """Returns a judge of the probability of a man, [n]; see `smile`."""
  weights = _read("age_gender", data_dir)

  def read(images):
    x = _xception(weights, images)
    return tf.nn.softmax(_linear(weights, "fc/gender", x))[:, _MALE]

  return read


def age(data_dir: str = "data") -> Judge:
  """Returns a judge of the age in years, [n]; see `smile`."""
  weights = _read("age_gender", data_dir)

  def read(images):
    return _linear(weights, "fc/age", _xception(weights, images))[:, 0]

  return read


def identity(data_dir: str = "data") -> Judge:
  """Returns a judge of identity, [n, 128]; see `smile` and `SAME_PERSON`."""
  weights = _read("face_recognition", data_dir)
  blocks = dict.fromkeys(name.split("/")[0] for name in weights)
  blocks = [name for name in blocks if name not in ("conv32_down", "fc")]

  def convolution(name, x, stride=1, padding="SAME"):
    x = tf.nn.conv2d(x, weights[f"{name}/conv/filters"], stride, padding)
    x += weights[f"{name}/conv/bias"]
    return (
      x * weights[f"{name}/scale/weights"] + weights[f"{name}/scale/biases"]
    )

  def block(name, x):
    down = "down" in name
    stride, padding = (2, "VALID") if down else (1, "SAME")
    y = tf.nn.relu(convolution(f"{name}/conv1", x, stride, padding))
    y = convolution(f"{name}/conv2", y)
    if down:
      x = tf.nn.avg_pool2d(x, 2, 2, "VALID")
      # Zeros are appended where one is smaller than the other.
      rows, channels = x.shape[1] - y.shape[1], y.shape[3] - x.shape[3]
      y = tf.pad(y, [[0, 0], [0, rows], [0, rows], [0, 0]])
      x = tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, channels]])
    return tf.nn.relu(x + y)

  def read(images):
    x = crops.without_mean(crops.face(images, _IDENTITY_CROP), 256.0)
    x = tf.nn.relu(convolution("conv32_down", x, 2, "VALID"))
    x = tf.nn.max_pool2d(x, 3, 2, "VALID")
    for name in blocks:
      x = block(name, x)
    return tf.reduce_mean(x, axis=[1, 2]) @ weights["fc"]

  return read


def landmarks(data_dir: str = "data") -> Judge:
  """Returns a judge of the 68 landmarks of a face, [n, 68, 2].

  They are (x, y) as shares of the image's sides. The images must show only the
  face, as a detector's box does; they are not cropped.

  Args:
    data_dir: See `packages.folder`.
  """
  weights = _read("face_landmark_68", data_dir)

  def read(images):
    x = _dense_blocks(weights, tf.image.resize(images, [_CROP, _CROP]))
    return tf.reshape(_linear(weights, "fc", x), [-1, _LANDMARKS, 2])

  return read


def detector(data_dir: str = "data") -> Judge:
  """Returns a detector of the likeliest face, [n, 5].

  It returns (score, left, top, width, height), the score a probability, the
  others shares of the image's sides. The images are square, of any size.

  Args:
    data_dir: See `packages.folder`.
  """
  weights = _read("tiny_face_detector", data_dir)
  anchors = tf.constant(_ANCHORS)

  def read(images):
    x = tf.image.resize(images, [_DETECTED, _DETECTED])
    x = x - tf.constant(_DETECTOR_MEAN) / 255.0
    x = _leaky(_convolution(weights, "conv0", x, 1, "VALID"))
    for number in range(1, 6):
      x = tf.nn.max_pool2d(x, 2, 2, "SAME")
      x = _leaky(_separable(weights, f"conv{number}", x))
    x = tf.nn.max_pool2d(x, 2, 1, "SAME")
    x = _convolution(weights, "conv8", x, 1, "VALID")
    cells = x.shape[1]
    x = tf.reshape(x, [-1, cells, cells, len(_ANCHORS), 5])
    rows, columns = tf.meshgrid(*[tf.range(float(cells))] * 2, indexing="ij")
    places = tf.stack([columns, rows], axis=-1)[:, :, tf.newaxis]
    center = (places + tf.sigmoid(x[..., :2])) / cells
    size = tf.exp(x[..., 2:4]) * anchors / cells
    score = tf.sigmoid(x[..., 4:])
    found = tf.concat([score, center - 0.5 * size, size], axis=-1)
    found = tf.reshape(found, [-1, cells * cells * len(_ANCHORS), 5])
    best = tf.argmax(found[..., 0], axis=1)
    return tf.gather(found, best, batch_dims=1)

  return read


def _read(name, data_dir):
  folder = packages.folder(packages.FACE_API, data_dir)
  return tfjs_weights.read(folder, name)


def _dense_blocks(weights, faces):
  """Runs four blocks in which a layer takes the sum of those before it."""
  x = crops.without_mean(faces, 255.0)
  for number in range(4):
    name = f"dense{number}/conv"
    first = _convolution if number == 0 else _separable
    a = tf.nn.relu(first(weights, name + "0", x, 2))
    b = _separable(weights, name + "1", a)
    c = _separable(weights, name + "2", tf.nn.relu(a + b))
    d = _separable(weights, name + "3", tf.nn.relu(a + b + c))
    x = tf.nn.relu(a + b + c + d)
  return tf.reduce_mean(x, axis=[1, 2])


def _xception(weights, images):
  """Runs the network of age and gender, up to its last layer."""

  def reduced(name, x, activated=True):
    y = tf.nn.relu(x) if activated else x
    y = _separable(weights, f"{name}/separable_conv0", y)
    y = _separable(weights, f"{name}/separable_conv1", tf.nn.relu(y))
    y = tf.nn.max_pool2d(y, 3, 2, "SAME")
    return y + _convolution(weights, f"{name}/expansion_conv", x, 2)

  def middle(name, x):
    y = x
    for number in range(3):
      y = tf.nn.relu(y)
      y = _separable(weights, f"{name}/separable_conv{number}", y)
    return x + y

  x = crops.without_mean(crops.face(images, _CROP), 255.0)
  x = tf.nn.relu(_convolution(weights, "entry_flow/conv_in", x, 2))
  x = reduced("entry_flow/reduction_block_0", x, activated=False)
  x = reduced("entry_flow/reduction_block_1", x)
  x = middle("middle_flow/main_block_0", x)
  x = middle("middle_flow/main_block_1", x)
  x = reduced("exit_flow/reduction_block", x)
  x = tf.nn.relu(_separable(weights, "exit_flow/separable_conv", x))
  x = tf.nn.avg_pool2d(x, 7, 2, "VALID")
  return tf.reshape(x, [-1, x.shape[-1]])


def _linear(weights, name, x):
  return x @ weights[f"{name}/weights"] + weights[f"{name}/bias"]


def _leaky(x):
  return tf.nn.leaky_relu(x, 0.1)


def _convolution(weights, name, x, stride, padding="SAME"):
  x = tf.nn.conv2d(x, weights[f"{name}/filters"], stride, padding)
  return x + weights[f"{name}/bias"]


def _separable(weights, name, x, stride=1):
  x = tf.nn.separable_conv2d(
    x,
    weights[f"{name}/depthwise_filter"],
    weights[f"{name}/pointwise_filter"],
    [1, stride, stride, 1],
    "SAME",
  )
  return x + weights[f"{name}/bias"]
