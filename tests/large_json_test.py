"""Tests of reading JSON in another process."""

import contextlib
import json

import grpc
import numpy as np
import pytest

from serving.server import errors
from serving.server import interrupts
from serving.server import large_json

_SIGNATURES = {
  "serving_default": {"x": "float", "b/c": "string"},
  "one": {"x": "int64"},
}


def _read(body, interrupt=None):
  sent = json.dumps(body).encode()
  interrupt = interrupt or interrupts.Interrupt()
  return large_json.read(sent, _SIGNATURES, interrupt)


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


def test_it_can_be_stopped():
  interrupt = interrupts.Interrupt()
  interrupt.set()
  with pytest.raises(errors.ServingError) as got:
    _read({"signature_name": "one", "instances": [1]}, interrupt)
  assert got.value.code == grpc.StatusCode.CANCELLED


def test_its_process_stays_and_is_replaced():
  body = {"signature_name": "one", "instances": [1]}
  _read(body)
  reader = large_json._reader
  _read(body)
  assert large_json._reader is reader
  reader.kill()
  reader.end()
  _read(body)
  assert large_json._reader is not reader


def test_a_process_that_was_stopped_is_replaced():
  class Stopping(interrupts.Interrupt):
    """Stops a run as soon as possible."""

    @contextlib.contextmanager
    def stopping_by(self, stop):
      with super().stopping_by(stop):
        self.set()
        yield

  with pytest.raises(errors.ServingError) as got:
    _read({"signature_name": "one", "instances": [1]}, Stopping())
  assert got.value.code == grpc.StatusCode.CANCELLED
  _, _, inputs = _read({"signature_name": "one", "instances": [1]})
  assert inputs["x"].tolist() == [1]
