"""Reads large JSON in a process of its own.

Python's JSON lets no other thread run until it is done: 100 MB stopped all
calls of a server for 3 s, and took 2 GB that the server kept. A process of its
own can be ended at a deadline, and its memory goes with it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Mapping

import grpc
import numpy as np
from etils import epy

from serving.server import errors
from serving.server import json_inputs

# It loads TensorFlow, which the other process does without.
with epy.lazy_imports():
  from serving.server import interrupts

# In bytes. Below it, the process takes longer than what it saves others.
LARGE = 4 << 20
_MOST_MEMORY = 4 << 30
_PROGRAM = "from serving.server import large_json; large_json.answer()"
# One after the other: their memory adds up.
_turn = threading.Lock()
_PAUSE = 0.05
_CODES = {code.name: code for code in grpc.StatusCode}


def read(
  body: bytes,
  signatures: Mapping[str, json_inputs.Types],
  interrupt: interrupts.Interrupt,
) -> tuple[str, str, dict[str, np.ndarray]]:
  """Returns what `json_inputs.read` makes of a request.

  Args:
    body: Its JSON.
    signatures: The inputs of each signature.
    interrupt: Ends the process.

  Raises:
    ServingError: As `json_inputs`; or the values take too much memory.
  """
  while not _turn.acquire(timeout=_PAUSE):
    interrupt.check()
  try:
    with _in_memory("request") as request, _in_memory("answer") as made:
      request.write(json.dumps(dict(signatures)).encode() + b"\n")
      request.write(body)
      request.seek(0)
      process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=request, stdout=made
      )
      with interrupt.stopping_by(process.kill):
        status = process.wait()
      interrupt.check()
      if status:
        raise errors.ServingError(
          grpc.StatusCode.INTERNAL,
          f"The JSON could not be read: its process ended with {status}.",
        )
      made.seek(0)
      return _unpack(made)
  finally:
    _turn.release()


def _in_memory(name):
  return open(os.memfd_create(name), "w+b")


def _pack(file, inputs, **facts):
  """Writes an answer; a tensor of strings as all bytes, and lengths."""
  arrays = {}
  for name, value in inputs.items():
    if value.dtype == object:
      flat = value.ravel().tolist()
      lengths = [len(text) for text in flat]
      arrays[f"lengths:{name}"] = np.reshape(lengths, value.shape)
      value = np.frombuffer(b"".join(flat), np.uint8)
    arrays[f"values:{name}"] = value
  np.savez(file, facts=np.array(json.dumps(facts)), **arrays)


def _unpack(file):
  with np.load(file, allow_pickle=False) as archive:
    facts = json.loads(str(archive["facts"]))
    if "code" in facts:
      raise errors.ServingError(_CODES[facts["code"]], facts["text"])
    inputs = {}
    for key in archive:
      kind, _, name = key.partition(":")
      if kind == "values":
        inputs[name] = archive[key]
    for name, value in inputs.items():
      if f"lengths:{name}" in archive:
        lengths = archive[f"lengths:{name}"]
        ends = np.cumsum(lengths)
        texts = np.empty(lengths.size, object)
        texts[:] = [
          value[end - length : end].tobytes()
          for end, length in zip(ends.tolist(), lengths.ravel().tolist())
        ]
        inputs[name] = texts.reshape(lengths.shape)
  return facts["name"], facts["form"], inputs


def answer() -> None:
  """Reads a request from the standard input, and writes what `read` returns."""
  os.nice(10)
  resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
  sent, made = sys.stdin.buffer, sys.stdout.buffer
  signatures = json.loads(sent.readline())
  try:
    document = json_inputs.parse(sent.read())
    name, form, inputs = json_inputs.read(document, signatures)
  except MemoryError:
    text = f"The JSON takes more than {_MOST_MEMORY >> 30} GiB of memory."
    _pack(made, {}, code="RESOURCE_EXHAUSTED", text=text)
  except errors.ServingError as error:
    _pack(made, {}, code=error.code.name, text=error.text)
  else:
    _pack(made, inputs, name=name, form=form)
