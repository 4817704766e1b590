"""TLS certificates and bearer tokens of both ports."""

import hmac
import os
import ssl
import sys
import tempfile

import grpc

from serving.server import text_protos

_SCHEME = "bearer "


class Certificates:
  """TLS for both ports.

  Attributes:
    for_grpc: The credentials of a gRPC server.
    for_http: The context of an HTTP server.
  """

  def __init__(self, path: str):
    """Reads a file, an SSLConfig in text form with keys and certificates (PEM).

    Raises:
      ValueError: The file cannot be read, or a certificate cannot be used.
    """
    config = text_protos.read(path, text_protos.SSLConfig)
    if not (config.server_key and config.server_cert):
      raise ValueError(f"{path} must have a server_key and a server_cert.")
    if config.client_verify and not config.custom_ca:
      raise ValueError(
        f"{path} has client_verify, and no custom_ca to verify clients by."
      )
    try:
      self.for_http = _http_context(config)
    except (ssl.SSLError, ValueError) as error:
      raise ValueError(f"{path} has no usable certificate: {error}") from error
    self.for_grpc = grpc.ssl_server_credentials(
      [(config.server_key.encode(), config.server_cert.encode())],
      root_certificates=config.custom_ca.encode() or None,
      require_client_auth=config.client_verify,
    )


class Tokens:
  """The bearer tokens of a file."""

  def __init__(self, path: str):
    """Reads a file of tokens, one a line; rereads it when it changes.

    Raises:
      ValueError: The file cannot be read, or has no tokens.
    """
    self._path = path
    self._seen = _fingerprint(path)
    self._tokens = _read_tokens(path)

  def accept(self, authorization: str | None) -> bool:
    """Returns whether an `authorization` header has one of the tokens."""
    self._reread_if_changed()
    if not (authorization or "").lower().startswith(_SCHEME):
      return False
    given = authorization[len(_SCHEME) :].strip().encode()
    # Compares all tokens: otherwise the time would reveal which one is similar.
    return any([hmac.compare_digest(given, token) for token in self._tokens])

  def _reread_if_changed(self):
    """Rereads a changed file; keeps the old tokens if that fails."""
    seen = _fingerprint(self._path)
    if seen == self._seen:
      return
    # Before the file is read: if it changes meanwhile, it is read again.
    self._seen = seen
    try:
      self._tokens = _read_tokens(self._path)
    except ValueError as error:
      text = f"Error: {error} (the tokens stay as they were)"
      print(text, file=sys.stderr, flush=True)


def _http_context(config):
  context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
  # Python reads keys from files only; other users cannot read this one.
  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "server.pem")
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
      file.write(f"{config.server_key}\n{config.server_cert}\n")
    context.load_cert_chain(path)
  if config.custom_ca:
    context.load_verify_locations(cadata=config.custom_ca)
  if config.client_verify:
    context.verify_mode = ssl.CERT_REQUIRED
  return context


def _fingerprint(path):
  """Returns values that change with a file; None if there is no file."""
  try:
    stat = os.stat(path)
  except OSError:
    return None
  return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _read_tokens(path):
  try:
    with open(path, encoding="utf-8") as file:
      tokens = file.read().encode().split(b"\n")
  except (OSError, UnicodeDecodeError) as error:
    raise ValueError(f"Tokens cannot be read: {error}") from error
  tokens = [token.strip() for token in tokens if token.strip()]
  if not tokens:
    raise ValueError(f"{path} has no token: write one a line.")
  return tokens
