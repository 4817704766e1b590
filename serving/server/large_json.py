"""Reads large JSON in a process of its own, of lower priority.

Python's JSON lets no other thread run until it is done: 100 MB stopped all
calls of a server for 3 s, and 3 MB for a quarter of one. A process of its own
can be ended at a deadline. It stays for the next request, unless this one has
taken much memory: that goes with it.
"""

from __future__ import annotations

import json
import os
import resource
import socket
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

# In bytes. Below it, no step holds up others for 10 ms.
LARGE = 512 << 10
_MOST_MEMORY, _MOST_KEPT = 4 << 30, 256 << 20
_PROGRAM = "from serving.server import large_json; large_json.answer()"
# One request after the other: their memory adds up.
_turn = threading.Lock()
_PAUSE = 0.05
_CODES = {code.name: code for code in grpc.StatusCode}
# What a process says when it has answered.
_GOES_ON, _ENDS = b"1", b"0"


class _Reader:
  """The process."""

  def __init__(self):
    self._socket, other = socket.socketpair()
    with other:
      self._process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=other
      )
    self.kill = self._process.kill

  @property
  def lives(self) -> bool:
    """Whether nobody has ended it."""
    return self._process.poll() is None

  def read(self, request, made) -> bytes:
    """Reads a file, and writes an answer; returns what the process says."""
    try:
      socket.send_fds(self._socket, [b"?"], [request.fileno(), made.fileno()])
      return self._socket.recv(1)
    except OSError:  # It has ended.
      return b""

  def end(self) -> int:
    """Waits for its end, and returns its exit status."""
    self._socket.close()
    return self._process.wait()


_reader: _Reader | None = None


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
      _read(request, made, interrupt)
      made.seek(0)
      return _unpack(made)
  finally:
    _turn.release()


def _read(request, made, interrupt):
  """Has the process read a file; starts it if there is none."""
  global _reader
  if _reader is None or not _reader.lives:
    _reader = _Reader()
  reader = _reader
  with interrupt.stopping_by(reader.kill):
    said = reader.read(request, made)
  if said == _GOES_ON:
    return
  _reader, status = None, reader.end()
  if said != _ENDS:
    interrupt.check()
    raise errors.ServingError(
      grpc.StatusCode.INTERNAL,
      f"The JSON could not be read: its process ended with {status}.",
    )


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
  """Reads requests as `read` sends them, until it has taken much memory."""
  os.nice(5)
  resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
  with socket.socket(fileno=sys.stdin.fileno()) as asking:
    while True:
      asked, files, *_ = socket.recv_fds(asking, 1, 2)
      if not asked:  # The server has ended.
        return
      with open(files[0], "rb") as sent, open(files[1], "wb") as made:
        _answer(sent, made)
      if _memory() > _MOST_KEPT:
        asking.send(_ENDS)
        return
      asking.send(_GOES_ON)


def _memory():
  """Returns how many bytes of memory this process has."""
  with open("/proc/self/statm") as file:
    return int(file.read().split()[1]) * resource.getpagesize()


def _answer(sent, made):
  """Reads a request, and writes what `read` returns."""
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
