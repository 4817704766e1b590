"""Tests of TLS, client certificates and tokens, on both ports."""

import contextlib
import io
import json
import os
import ssl
import urllib.error

import grpc
import numpy as np
import trustme
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
    """Yields a server with TLS, and arguments for its HTTP clients."""
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

  def test_tokens_on_both_ports(self):
    path = self.create_tempfile(content="first\n\n  sécond \n").full_path
    self.assertTrue(credentials.Tokens(path).accept("Bearer sécond"))
    with self.serving(bearer_token_file=path) as running:

      def call(sent):
        return running.predictions.Predict(
          running_server.serving_models.request(x=_X),
          timeout=running_server.PATIENCE,
          metadata=[("authorization", sent)],
        )

      for sent, accepted in (
        ("", False),
        ("Bearer third", False),
        ("first", False),
        ("Bearer first", True),
        ("bearer first", True),
      ):
        status, _ = running.json(
          "/v1/models/demo", headers={"Authorization": sent}
        )
        self.assertEqual(status, 200 if accepted else 401)
        if accepted:
          self.assertEqual(call(sent).model_spec.version.value, 10)
        else:
          self.assert_refused(
            grpc.StatusCode.UNAUTHENTICATED, "Send a bearer token", call, sent
          )
      # Probes have no token.
      self.assertEqual(running.http("/health/live")[0], 200)
      self.assertEqual(running.http("/")[0], 401)

  def test_tokens_change_without_a_restart(self):
    path = self.create_tempfile(content="old").full_path
    tokens = credentials.Tokens(path)

    def replace(text):  # As kubelet does.
      with open(path + "~", "w") as file:
        file.write(text)
      os.replace(path + "~", path)

    replace("both\nold")
    self.assertTrue(tokens.accept("Bearer both"))
    self.assertTrue(tokens.accept("Bearer old"))
    replace("new")
    self.assertTrue(tokens.accept("Bearer new"))
    self.assertFalse(tokens.accept("Bearer old"))
    for spoil in (lambda: open(path, "w").close(), lambda: os.remove(path)):
      with contextlib.redirect_stderr(io.StringIO()) as said:
        spoil()
        self.assertTrue(tokens.accept("Bearer new"))
        self.assertFalse(tokens.accept("Bearer "))
      self.assertRegex(said.getvalue(), "^Error: .*tokens stay as they were")
    replace("newest")
    self.assertTrue(tokens.accept("Bearer newest"))
    self.assertFalse(tokens.accept("Bearer new"))

  def test_files_without_tokens(self):
    with self.assertRaisesRegex(ValueError, "has no token"):
      credentials.Tokens(self.create_tempfile(content=" \n").full_path)
    with self.assertRaisesRegex(ValueError, "cannot be read"):
      credentials.Tokens(os.path.join(self.base_path, "missing"))
