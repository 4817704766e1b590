"""Reads and writes large JSON in a separate process of lower priority.

Python's JSON holds the GIL: parsing 100 MB stopped all calls of a server for
3 s, 3 MB for 0.25 s. Even if 60 MB are written in small pieces, every other
call waits, at each of its steps, for the end of a piece. A process can also be
killed at a deadline. It is reused for the next call, unless a call has taken
much memory, which the end of the process frees.

Arrays and texts are exchanged in memory files, which numpy and the system copy
without the GIL.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Mapping
from typing import BinaryIO

import grpc
import numpy as np
from etils import epy

from serving.server import errors
from serving.server import json_inputs
from serving.server import json_outputs

# Lazy: it loads TensorFlow, which the other process does not need.
with epy.lazy_imports():
  from serving.server import interrupts

# In bytes. Smaller JSON does not hold the GIL for 10 ms.
LARGE = 512 << 10
_BYTES_A_NUMBER = 12  # In JSON, approximately.
_MOST_MEMORY, _MOST_KEPT = 4 << 30, 256 << 20
_PROGRAM = "from serving.server import json_process; json_process.serve()"
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
# A seventh of the time of zlib's default level, for an eighth more bytes.
_GZIP_LEVEL = 1
# One call at a time: their memory would add up.
_turn = threading.Lock()
_PAUSE = 0.05
_CODES = {code.name: code for code in grpc.StatusCode}
# Status bytes that the process sends after an answer.
_CONTINUES, _ENDS = b"1", b"0"


class _Process:
  """The process that reads and writes JSON."""

  def __init__(self):
    self._socket, other = socket.socketpair()
    with other:
      self._process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=other
      )
    self.kill = self._process.kill

  @property
  def lives(self) -> bool:
    """Whether the process still runs."""
    return self._process.poll() is None

  def ask(self, asked, made) -> bytes:
    """Sends the files of a question and its answer; returns the status byte."""
    try:
      socket.send_fds(self._socket, [b"?"], [asked.fileno(), made.fileno()])
      return self._socket.recv(1)
    except OSError:  # The process has ended.
      return b""

  def end(self) -> int:
    """Waits for the end of the process; returns its exit status."""
    self._socket.close()
    return self._process.wait()


_process: _Process | None = None


def read(
  body: bytes | bytearray,
  signatures: Mapping[str, json_inputs.Types],
  interrupt: interrupts.Interrupt,
  inflate: int | None = None,
) -> tuple[str, str, dict[str, np.ndarray]]:
  """Returns the result of `json_inputs.read` for a request.

  The interrupt kills the process. `inflate` is the most bytes of the inflated
  body, None if it is not compressed.

  Raises:
    ServingError: See `json_inputs` and `inflated`; or the values take too much
      memory.
  """
  facts = {"signatures": dict(signatures), "inflate": inflate}
  sent = {"body": np.frombuffer(body, np.uint8)}
  made, facts, inputs = _ask(facts, sent, interrupt)
  made.close()
  return facts["name"], facts["form"], inputs


def write(
  form: str,
  outputs: Mapping[str, np.ndarray],
  compress: bool,
  interrupt: interrupts.Interrupt,
) -> BinaryIO:
  """Returns the result of `json_outputs.write` as a file, open for reading.

  The interrupt kills the process.

  Raises:
    ServingError: See `json_outputs`; or it takes too much memory.
  """
  facts = {"form": form, "compress": compress}
  made, *_ = _ask(facts, outputs, interrupt)
  return made


def inflated(body: bytes | bytearray, most: int) -> bytes:
  """Inflates a body that was compressed by gzip or zlib, to `most` bytes.

  Raises:
    TooLargeError: The inflated body is larger.
    ServingError: The body is not compressed, or incomplete.
  """
  inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
  try:
    made = inflater.decompress(body, most + 1)
  except zlib.error as error:
    raise errors.invalid_argument(
      f"The body cannot be read, it is not compressed by gzip: {error}"
    ) from error
  if len(made) > most:
    raise errors.too_large(most)
  if not inflater.eof:
    raise errors.invalid_argument("The compressed body ends too early.")
  return made


def is_large(outputs: Mapping[str, np.ndarray]) -> bool:
  """Returns whether the JSON of outputs has LARGE bytes or more."""
  return sum(map(_size, outputs.values())) >= LARGE


def _size(value):
  if isinstance(value, bytes):
    return len(value)
  if value.dtype == object:
    return sum(map(len, value.flat))
  return _BYTES_A_NUMBER * value.size


def _ask(facts, arrays, interrupt):
  """Lets the process answer; returns the answer's file, facts and arrays."""
  while not _turn.acquire(timeout=_PAUSE):
    interrupt.check()
  made = _in_memory("answer")
  try:
    with _in_memory("question") as asked:
      _pack(asked, facts, arrays)
      asked.seek(0)
      _run(asked, made, interrupt)
    made.seek(0)
    return made, *_unpack(made)
  except BaseException:
    made.close()
    raise
  finally:
    _turn.release()


def _run(asked, made, interrupt):
  """Sends a question to the process, which is started if needed."""
  global _process
  if _process is None or not _process.lives:
    _process = _Process()
  process = _process
  with interrupt.stopping_by(process.kill):
    said = process.ask(asked, made)
  if said == _CONTINUES:
    return
  _process, status = None, process.end()
  if said != _ENDS:
    interrupt.check()
    raise errors.ServingError(
      grpc.StatusCode.INTERNAL,
      f"The process of JSON ended with {status}.",
    )


def _in_memory(name):
  # Unbuffered: numpy then passes whole arrays to the system.
  return open(os.memfd_create(name), "r+b", buffering=0)


def _pack(file, facts, arrays=None):
  """Writes facts and arrays; strings as concatenated bytes and lengths."""
  written = {}
  for name, value in (arrays or {}).items():
    if isinstance(value, bytes):  # A scalar; numpy's bytes drop final zeros.
      value = np.array(value, object)
    if value.dtype == object:
      flat = value.ravel().tolist()
      lengths = [len(text) for text in flat]
      written[f"lengths:{name}"] = np.reshape(lengths, value.shape)
      value = np.frombuffer(b"".join(flat), np.uint8)
    written[f"values:{name}"] = value
  text = json.dumps({"facts": facts, "arrays": [*written]}).encode()
  for value in (np.frombuffer(text, np.uint8), *written.values()):
    np.save(file, value, allow_pickle=False)


def _unpack(file):
  """Returns facts and arrays, or raises the error in the facts."""

  def load():
    return np.load(file, allow_pickle=False)

  read = json.loads(load().tobytes())
  facts, arrays = read["facts"], {name: load() for name in read["arrays"]}
  if "code" in facts:
    code, text = _CODES[facts["code"]], facts["text"]
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
      raise errors.TooLargeError(text)
    raise errors.ServingError(code, text)
  values = {}
  for key, value in arrays.items():
    kind, _, name = key.partition(":")
    if kind == "lengths":
      continue
    if (lengths := arrays.get(f"lengths:{name}")) is not None:
      ends = np.cumsum(lengths)
      texts = np.empty(lengths.size, object)
      texts[:] = [
        value[end - length : end].tobytes()
        for end, length in zip(ends.tolist(), lengths.ravel().tolist())
      ]
      value = texts.reshape(lengths.shape)
    values[name] = value
  return facts, values


def serve() -> None:
  """Answers `read` and `write`, until the process has taken much memory."""
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
      asking.send(_CONTINUES)


def _memory():
  """Returns the bytes of memory of this process."""
  with open("/proc/self/statm") as file:
    return int(file.read().split()[1]) * resource.getpagesize()


def _answer(sent, made):
  """Writes the answer to a question of `read` or `write`."""
  try:
    facts, values = _unpack(sent)
    if "signatures" in facts:
      body = values["body"].tobytes()
      if facts["inflate"] is not None:
        body = inflated(body, facts["inflate"])
      document = json_inputs.parse(body)
      name, form, values = json_inputs.read(document, facts["signatures"])
      _pack(made, {"name": name, "form": form}, values)
      return
    text = json_outputs.write(facts["form"], values)
    if facts["compress"]:
      text = gzip.compress(text, _GZIP_LEVEL)
    _pack(made, {})
    made.write(text)
  except MemoryError:
    text = f"The JSON takes more than {_MOST_MEMORY >> 30} GiB of memory."
    _pack(made, {"code": "RESOURCE_EXHAUSTED", "text": text})
  except errors.ServingError as error:
    _pack(made, {"code": error.code.name, "text": error.text})
