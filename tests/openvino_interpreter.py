"""Runs a network in OpenVINO's format node by node, in NumPy.

Slow and simple: a reference for our TensorFlow graphs of the same files.
"""

import numpy as np


def run(nodes, inputs):
  """Returns the result of a network, for a batch of one.

  Args:
    nodes: See `openvino_ir.read`.
    inputs: Value of its only parameter.
  """
  values = {}
  for node in nodes:
    taken = [values[source][port] for source, port in node.inputs]
    if node.kind == "Result":
      return taken[0]
    if node.kind == "Parameter":
      made = inputs
    elif node.kind == "Const":
      made = node.value
    else:
      made = _OPERATIONS[node.kind](node.settings, *taken)
    values[node] = made if isinstance(made, list) else [made]
  raise ValueError("The network has no result.")


def _convolution(settings, x, kernel):
  """[1, c, h, w] by [d, c, k, k], of stride 1 and as large as the input."""
  del settings
  reach = kernel.shape[2] // 2
  height, width = x.shape[2:]
  x = np.pad(x, [(0, 0), (0, 0), (reach, reach), (reach, reach)])
  return sum(
    np.einsum(
      "dc,nchw->ndhw",
      kernel[:, :, row, column],
      x[:, :, row : row + height, column : column + width],
      optimize=True,
    )
    for row in range(kernel.shape[2])
    for column in range(kernel.shape[3])
  )


def _depthwise(settings, x, kernel):
  """[1, c, h, w] by [c, 1, 1, k, k]."""
  del settings
  reach = kernel.shape[3] // 2
  height, width = x.shape[2:]
  x = np.pad(x, [(0, 0), (0, 0), (reach, reach), (reach, reach)])
  return sum(
    x[:, :, row : row + height, column : column + width]
    * kernel[:, 0, 0, row, column][:, np.newaxis, np.newaxis]
    for row in range(kernel.shape[3])
    for column in range(kernel.shape[4])
  )


def _spread(settings, x, kernel):
  """[1, c, h, w] by [c, 1, 1, a, b], of strides a and b: nothing overlaps."""
  rows, columns = kernel.shape[3:]
  assert settings["strides"] == f"{rows}, {columns}"
  made = np.zeros(
    [1, x.shape[1], rows * x.shape[2], columns * x.shape[3]], x.dtype
  )
  for row in range(rows):
    for column in range(columns):
      made[:, :, row::rows, column::columns] = (
        x * kernel[:, 0, 0, row, column][:, np.newaxis, np.newaxis]
      )
  return made


def _split(settings, x, axis, sizes):
  del settings
  return np.split(x, np.cumsum(sizes.ravel())[:-1], int(axis))


def _product(settings, a, b):
  return a @ (b.T if settings["transpose_b"] == "true" else b)


_OPERATIONS = {
  "Add": lambda _, a, b: a + b,
  "Broadcast": lambda _, x, shape: np.broadcast_to(
    x, np.broadcast_shapes(x.shape, tuple(shape))
  ),
  "Concat": lambda settings, *parts: np.concatenate(
    parts, int(settings["axis"])
  ),
  "Convolution": _convolution,
  "Gather": lambda _, x, index, axis: np.take(x, index, int(axis)),
  "GroupConvolution": _depthwise,
  "GroupConvolutionBackpropData": _spread,
  "MatMul": _product,
  "Multiply": lambda _, a, b: a * b,
  "PReLU": lambda _, x, slope: np.where(x < 0.0, slope * x, x),
  "Power": lambda _, a, b: a**b,
  "ReduceMean": lambda _, x, axes: x.mean(tuple(axes.ravel()), keepdims=True),
  "Reshape": lambda _, x, shape: x.reshape(shape),
  "ShapeOf": lambda _, x: np.array(x.shape, np.int64),
  "Squeeze": lambda _, x, axes: x.squeeze(tuple(axes.ravel())),
  "Tile": lambda _, x, times: np.tile(x, times),
  "Unsqueeze": lambda _, x, axes: np.expand_dims(x, tuple(axes.ravel())),
  "VariadicSplit": _split,
}
