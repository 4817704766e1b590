"""Who may call: certificates, and bearer tokens."""

import hmac
import os
import ssl
import sys
import tempfile
import time

import grpc

from serving.server import text_protos

_SCHEME = "bearer "
# Between two looks at the file of tokens: a call should not wait for a disk.
_LOOK_SECONDS = 1.0


class Certificates:
  """TLS for both ports, from one file."""

  def __init__(self, path: str):
    """Reads a file.

    Args:
      path: An SSLConfig in text form, as TensorFlow Serving has it; keys and
        certificates stand in it as PEM.

    Raises:
      ValueError: It cannot be read, or what it holds cannot be used.
    """
    config = text_protos.read(path, text_protos.SSLConfig)
    if not (config.server_key and config.server_cert):
      raise ValueError(f"{path} must have a server_key and a server_cert.")
    if config.client_verify and not config.custom_ca:
      raise ValueError(
        f"{path} has client_verify, and no custom_ca to verify clients by."
      )
    self._config = config
    try:
      self.context = self._context()
    except (ssl.SSLError, ValueError) as error:
      raise ValueError(f"{path} has no usable certificate: {error}") from error

  @property
  def for_grpc(self) -> grpc.ServerCredentials:
    """The credentials of a gRPC server."""
    config = self._config
    pair = config.server_key.encode(), config.server_cert.encode()
    return grpc.ssl_server_credentials(
      [pair],
      root_certificates=config.custom_ca.encode() or None,
      require_client_auth=config.client_verify,
    )

  def _context(self):
    """Returns what an HTTP server needs."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # Python reads a key from files only; this one nobody else can read.
    with tempfile.TemporaryDirectory() as folder:
      path = os.path.join(folder, "server.pem")
      with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(f"{self._config.server_key}\n{self._config.server_cert}\n")
      context.load_cert_chain(path)
    if self._config.custom_ca:
      context.load_verify_locations(cadata=self._config.custom_ca)
    if self._config.client_verify:
      context.verify_mode = ssl.CERT_REQUIRED
    return context


class Tokens:
  """The bearer tokens that callers may have."""

  def __init__(self, path: str):
    """Reads a file of tokens, one a line; again when it changes.

    Raises:
      ValueError: It cannot be read, or has none.
    """
    self._path = path
    self._next_look = 0.0
    self._seen = _fingerprint(path)
    self._tokens = _read_tokens(path)

  def accept(self, authorization: str | None) -> bool:
    """Returns whether an `authorization` header has one of them."""
    self._look_again()
    if not (authorization or "").lower().startswith(_SCHEME):
      return False
    given = authorization[len(_SCHEME) :].strip().encode()
    # All of them, so that time does not tell which one was nearly right.
    return any([hmac.compare_digest(given, token) for token in self._tokens])

  def _look_again(self):
    """Reads the file if it has changed, and keeps the tokens if it is bad."""
    if time.monotonic() < self._next_look:
      return
    self._next_look = time.monotonic() + _LOOK_SECONDS
    seen = _fingerprint(self._path)
    if seen == self._seen:
      return
    # Before it is read: if it changes meanwhile, it is read once more.
    self._seen = seen
    try:
      self._tokens = _read_tokens(self._path)
    except ValueError as error:
      print(
        f"Error: {error} (the tokens stay as they were)",
        file=sys.stderr,
        flush=True,
      )


def _fingerprint(path):
  """Returns what changes with a file; None if there is none."""
  try:
    stat = os.stat(path)
  except OSError:
    return None
  return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _read_tokens(path):
  try:
    with open(path, encoding="utf-8") as file:
      lines = [line.strip() for line in file]
  except (OSError, UnicodeDecodeError) as error:
    raise ValueError(f"Tokens cannot be read: {error}") from error
  tokens = [line.encode() for line in lines if line]
  if not tokens:
    raise ValueError(f"{path} has no token: write one a line.")
  return tokens
