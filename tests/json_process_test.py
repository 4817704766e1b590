"""Tests of reading and writing JSON in another process."""

import contextlib
import gzip
import json
import zlib

import grpc
import numpy as np
import pytest

from serving.server import errors
from serving.server import interrupts
from serving.server import json_outputs
from serving.server import json_process

_SIGNATURES = {
  "serving_default": {"x": "float", "b/c": "string"},
  "one": {"x": "int64"},
}


_ONE = {"signature_name": "one", "instances": [1]}
_OUTPUTS = {
  "y": np.array([[1.5, np.nan], [3, 4]], np.float32),
  "z": np.array([b"a\0", b""], object),
  "flags": np.array([True, False]),
}


def _read(body, interrupt=None):
  sent = json.dumps(body).encode()
  interrupt = interrupt or interrupts.Interrupt()
  return json_process.read(sent, _SIGNATURES, interrupt)


def _write(form, outputs, compress=False):
  interrupt = interrupts.Interrupt()
  with json_process.write(form, outputs, compress, interrupt) as written:
    return written.read()


def test_values_come_back():
  name, form, inputs = _read(
    {
      "inputs": {"x": [[1.5, 2], [3, 4]], "b/c": [["a\0"], [{"b64": "AP8="}]]},
    }
  )
  assert (name, form) == ("serving_default", "inputs")
  assert inputs["x"].dtype == np.float32
  np.testing.assert_array_equal(inputs["x"], [[1.5, 2], [3, 4]])
  assert inputs["b/c"].tolist() == [[b"a\0"], [b"\0\xff"]]


def test_errors_come_back():
  with pytest.raises(errors.ServingError, match="not of expected type") as got:
    _read({"signature_name": "one", "instances": ["a"]})
  assert got.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_its_process_stays_and_is_replaced():
  _read(_ONE)
  process = json_process._process
  _read(_ONE)
  assert json_process._process is process
  process.kill()
  process.end()
  _read(_ONE)
  assert json_process._process is not process


def test_a_process_that_was_stopped_is_replaced():
  class Stopping(interrupts.Interrupt):
    """Stops a run as soon as possible."""

    @contextlib.contextmanager
    def stopping_by(self, stop):
      with super().stopping_by(stop):
        self.set()
        yield

  with pytest.raises(errors.ServingError) as got:
    _read(_ONE, Stopping())
  assert got.value.code == grpc.StatusCode.CANCELLED
  _, _, inputs = _read(_ONE)
  assert inputs["x"].tolist() == [1]


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_outputs_are_written_as_in_this_process(form):
  expected = json_outputs.write(form, _OUTPUTS)
  assert _write(form, _OUTPUTS) == expected
  assert gzip.decompress(_write(form, _OUTPUTS, compress=True)) == expected


@pytest.mark.parametrize(
  "value", [b"scalar\0", np.float32(0.1), np.zeros([0, 2]), np.zeros(0, object)]
)
def test_outputs_of_odd_shapes(value):
  expected = json_outputs.write("inputs", {"y": value})
  assert _write("inputs", {"y": value}) == expected


def test_outputs_that_are_no_json():
  with pytest.raises(errors.ServingError, match="type: half") as got:
    _write("inputs", {"y": np.zeros(2, np.float16)})
  assert got.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_sizes_of_outputs():
  few, many = np.zeros(10), np.zeros(json_process.LARGE)
  assert not json_process.is_large({"y": few, "z": b"one"})
  assert json_process.is_large({"y": few, "z": many})
  assert json_process.is_large({"y": np.array([bytes(many.size)], object)})


def test_bodies_are_inflated():
  interrupt = interrupts.Interrupt()
  body = json.dumps(_ONE).encode()

  def read(sent, most):
    return json_process.read(sent, _SIGNATURES, interrupt, most)

  for compress in (gzip.compress, zlib.compress):
    _, _, inputs = read(compress(body), len(body))
    assert inputs["x"].tolist() == [1]
  with pytest.raises(errors.TooLargeError, match="fewer rows"):
    read(gzip.compress(body), len(body) - 1)
  with pytest.raises(errors.ServingError, match="not compressed by gzip"):
    read(body, len(body))
  with pytest.raises(errors.ServingError, match="ends too early"):
    read(gzip.compress(body)[:-1], len(body))
