"""Loads models of TensorFlow Lite, for --prefer_tflite_model, and runs them.

What asks a `servables.Servable` can ask these as well. A run of theirs cannot
be stopped.
"""

import collections
import os
import threading
import warnings
from collections.abc import Mapping, Sequence

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving.server import errors
from serving.server import interrupts
from serving.server import servables

FILE = "model.tflite"
_DEFAULT = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


class LiteServable(servables.Servable):
  """One version of one model: interpreters of a file."""

  # They have no session: nothing of the other one's is to be set up.
  def __init__(self, name: str, version: int, path: str, interpreters: int = 1):
    """Loads the file.

    Args:
      name: The model's name.
      version: Its version.
      path: The folder with the file.
      interpreters: How many runs there may be at once; more wait.

    Raises:
      LoadError: The file is none of TensorFlow Lite.
    """
    self.name = name
    self.version = version
    self.path = path
    self.check_methods = False
    self._slots = threading.Semaphore(interpreters)
    self._free: collections.deque[_Interpreter] = collections.deque()
    try:
      first = _Interpreter(os.path.join(path, FILE))
    except (OSError, RuntimeError, ValueError) as error:
      raise servables.LoadError(
        f"Version {version} of model {name} cannot be loaded from {path}: "
        f"{error}",
        grpc.StatusCode.INVALID_ARGUMENT,
      ) from error
    self._free.append(first)
    self.signatures = first.signatures

  def run(
    self,
    feeds: Mapping[str, np.ndarray],
    fetches: Sequence[str],
    interrupt: interrupts.Interrupt | None = None,
  ) -> list[np.ndarray]:
    """Runs the model, in the thread of the caller: see `Servable.run`."""
    with self._slots:
      if interrupt is not None:
        interrupt.check()
      try:
        interpreter = self._free.pop()
      except IndexError:
        interpreter = _Interpreter(os.path.join(self.path, FILE))
      try:
        return interpreter.run(feeds, fetches)
      except (RuntimeError, ValueError) as error:
        raise errors.invalid_argument(str(error)) from error
      finally:
        self._free.append(interpreter)

  def close(self) -> None:
    """Frees the memory."""
    self._free.clear()


class _Interpreter:
  """One thread's view of the file.

  Attributes:
    signatures: By name, what can be asked.
  """

  def __init__(self, path):
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # That there is another package now.
      self._interpreter = tf.lite.Interpreter(path)
    runners = {
      key: self._interpreter.get_signature_runner(key)
      for key in self._interpreter.get_signature_list()
    }
    self._runners = list(runners.values())
    self.signatures = {
      key: _signature(runner.get_input_details(), runner.get_output_details())
      for key, runner in runners.items()
    }
    if not runners:
      # Older files say nothing: the tensors' own names are what callers send.
      self.signatures[_DEFAULT] = _signature(
        *(
          {detail["name"].removesuffix(":0"): detail for detail in details}
          for details in (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
          )
        )
      )

  def run(self, feeds, fetches):
    for runner in self._runners:
      inputs = {d["name"]: n for n, d in runner.get_input_details().items()}
      outputs = {d["name"]: n for n, d in runner.get_output_details().items()}
      if inputs.keys() >= feeds.keys() and outputs.keys() >= set(fetches):
        values = runner(**{inputs[name]: feeds[name] for name in feeds})
        return [values[outputs[name]] for name in fetches]
    for detail in self._interpreter.get_input_details():
      value = feeds[detail["name"]]
      self._interpreter.resize_tensor_input(detail["index"], value.shape)
    self._interpreter.allocate_tensors()
    for detail in self._interpreter.get_input_details():
      self._interpreter.set_tensor(detail["index"], feeds[detail["name"]])
    self._interpreter.invoke()
    values = {
      detail["name"]: self._interpreter.get_tensor(detail["index"])
      for detail in self._interpreter.get_output_details()
    }
    return [values[name] for name in fetches]


def _signature(inputs, outputs):
  signature = meta_graph_pb2.SignatureDef(
    method_name=tf.saved_model.PREDICT_METHOD_NAME
  )
  for details, infos in (
    (inputs, signature.inputs),
    (outputs, signature.outputs),
  ):
    for name, detail in details.items():
      info = infos[name]
      info.name = detail["name"]
      info.dtype = tf.as_dtype(detail["dtype"]).as_datatype_enum
      info.tensor_shape.SetInParent()
      for size in detail["shape_signature"]:
        info.tensor_shape.dim.add(size=int(size))
  return signature
