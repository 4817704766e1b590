"""Tests of TLS, client certificates and tokens, on both ports."""

import contextlib
import io
import json
import os
import ssl
import urllib.error
from unittest import mock

import grpc
import numpy as np
import trustme
from absl.testing import absltest
from absl.testing import parameterized

from serving.server import credentials
from tests import running_server

_X = np.ones([3, 2], np.float32)


def _pem(blobs):
  return b"".join(blob.bytes() for blob in blobs)


class CredentialsTest(running_server.TestCase, parameterized.TestCase):
  flags = None

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.authority = trustme.CA()
    cls.ca = cls.authority.cert_pem.bytes()
    cls.server_cert = cls.authority.issue_cert("localhost")

  def _config(self, **values):
    values = {
      "server_key": self.server_cert.private_key_pem.bytes().decode(),
      "server_cert": _pem(self.server_cert.cert_chain_pems).decode(),
    } | values
    text = "\n".join(
      f"{key}: {json.dumps(value)}" for key, value in values.items()
    )
    return self.create_tempfile(content=text).full_path

  @contextlib.contextmanager
  def _tls(self, client=None, **values):
    """Yields a server with TLS, and what its HTTP clients need."""
    pair = (None, None)
    context = ssl.create_default_context(cadata=self.ca.decode())
    if client is not None:
      chain = _pem(client.cert_chain_pems)
      pair = client.private_key_pem.bytes(), chain
      with client.private_key_and_cert_chain_pem.tempfile() as path:
        context.load_cert_chain(path)
    with self.serving(
      ssl_config_file=self._config(**values),
      credentials=grpc.ssl_channel_credentials(self.ca, *pair),
    ) as running:
      yield running, context

  def test_tls_on_both_ports(self):
    with self._tls() as (running, context):
      self.assertEqual(running.predict(x=_X).model_spec.version.value, 10)
      status, _ = running.json("/v1/models/demo", context=context)
      self.assertEqual(status, 200)
      with self.assertRaises((urllib.error.URLError, OSError)):
        running._tls = False
        running.http("/v1/models/demo")
      with grpc.insecure_channel(running.address) as channel:
        call = channel.unary_unary("/tensorflow.serving.ModelService/X")
        with self.assertRaises(grpc.RpcError) as caught:
          call(b"", timeout=running_server.PATIENCE)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)

  def test_client_certificates_on_both_ports(self):
    verify = {"custom_ca": self.ca.decode(), "client_verify": True}
    known = self.authority.issue_cert("client.example")
    with self._tls(known, **verify) as (running, context):
      self.assertEqual(running.predict(x=_X).model_spec.version.value, 10)
      status, _ = running.json("/v1/models/demo", context=context)
      self.assertEqual(status, 200)
    stranger = trustme.CA().issue_cert("client.example")
    for client in (None, stranger):
      with self._tls(client, **verify) as (running, context):
        self.assert_refused(
          grpc.StatusCode.UNAVAILABLE, "", running.predict, x=_X
        )
        with self.assertRaises((urllib.error.URLError, OSError)):
          running.http("/v1/models/demo", context=context)

  @parameterized.parameters(
    ({"server_key": ""}, "must have a server_key"),
    ({"server_cert": "no"}, "no usable certificate"),
    ({"client_verify": True}, "no custom_ca"),
    ({"key": "x"}, "Invalid protobuf file"),
  )
  def test_bad_files(self, values, text):
    with self.assertRaisesRegex(ValueError, text):
      self.start(ssl_config_file=self._config(**values))

  def test_a_missing_file(self):
    with self.assertRaisesRegex(ValueError, "No such file"):
      credentials.Certificates("missing")

  def test_tokens_on_both_ports(self):
    path = self.create_tempfile(content="first\n\n  sécond \n").full_path
    with self.serving(bearer_token_file=path) as running:
      for sent, accepted in (
        (None, False),
        ("Bearer third", False),
        ("first", False),
        ("Bearer first", True),
        ("bearer first", True),
      ):
        metadata = [("authorization", sent)] if sent else []
        headers = {"Authorization": sent} if sent else {}

        def call(metadata=metadata):
          return running.predictions.Predict(
            running_server.serving_models.request(x=_X),
            timeout=running_server.PATIENCE,
            metadata=metadata,
          )

        status, answer = running.json("/v1/models/demo", headers=headers)
        if accepted:
          self.assertEqual(call().model_spec.version.value, 10)
          self.assertEqual(status, 200)
        else:
          self.assert_refused(
            grpc.StatusCode.UNAUTHENTICATED, "Send a bearer token", call
          )
          self.assertEqual(status, 401)
          self.assertIn("Bearer", answer["error"])
      # Who looks after the server has no token.
      self.assertEqual(running.http("/health/live")[0], 200)
      self.assertEqual(running.http("/")[0], 401)

  @mock.patch.object(credentials, "_LOOK_SECONDS", 0.05)
  def test_tokens_change_without_a_restart(self):
    path = self.create_tempfile(content="old").full_path
    tokens = credentials.Tokens(path)
    # As kubelet and careful people do, in place, and not at all well.
    for text in ("both\nold", "new", "newer"):
      if text == "newer":
        with open(path, "w") as file:
          file.write(text)
      else:
        with open(path + "~", "w") as file:
          file.write(text)
        os.replace(path + "~", path)
      for _ in running_server.attempts():
        if tokens.accept(f"Bearer {text.split()[0]}"):
          break
      self.assertEqual(tokens.accept("Bearer old"), "old" in text)
    for spoil in (lambda: open(path, "w").close(), lambda: os.remove(path)):
      with contextlib.redirect_stderr(io.StringIO()) as said:
        spoil()
        for _ in running_server.attempts():
          # Who could call, still can, and nobody else.
          self.assertTrue(tokens.accept("Bearer newer"))
          self.assertFalse(tokens.accept("Bearer "))
          if said.getvalue():
            break
      self.assertStartsWith(said.getvalue(), "Error: ")
      self.assertIn("the tokens stay as they were", said.getvalue())
    with open(path, "w") as file:
      file.write("newest")
    for _ in running_server.attempts():
      if tokens.accept("Bearer newest"):
        break
    self.assertFalse(tokens.accept("Bearer newer"))

  def test_tokens(self):
    path = self.create_tempfile(content="sécond").full_path
    tokens = credentials.Tokens(path)
    self.assertTrue(tokens.accept("Bearer sécond"))
    self.assertFalse(tokens.accept("Bearer "))
    with self.assertRaisesRegex(ValueError, "has no token"):
      credentials.Tokens(self.create_tempfile(content=" \n").full_path)
    with self.assertRaisesRegex(ValueError, "cannot be read"):
      credentials.Tokens(os.path.join(self.base_path, "missing"))


if __name__ == "__main__":
  absltest.main()
