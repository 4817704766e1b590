"""Tests of `make studio`: what it says before any work."""

import contextlib
import errno
import os
import shutil
import socket
import sys
from unittest import mock

from absl.testing import absltest

from lc_keras import files
from serving.studio import address
from tools import studio


class MakeStudioTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(contextlib.chdir(self.create_tempdir().full_path))

  def _refusal(self, *arguments):
    """Returns what the program says before it ends; it has written nothing."""
    with mock.patch.object(sys, "argv", ["studio", *arguments]):
      with self.assertRaises(SystemExit) as ended:
        studio.main()
    self.assertEmpty(os.listdir())
    return ended.exception.code

  def test_a_port_that_is_taken(self):
    with socket.create_server((address.HOST, 0)) as other:
      port = other.getsockname()[1]
      told = self._refusal("toon_faces", f"--port={port}")
    self.assertRegex(
      told, f"^Error: Port {port} of localhost is taken.*make studio PORT="
    )

  def test_a_run_that_is_missing(self):
    with mock.patch.object(address, "listen", return_value=[]):
      self.assertRegex(self._refusal("toon_face"), "did you mean toon_faces?")


class OutdatedTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(contextlib.chdir(self.create_tempdir().full_path))
    self._write("export/2/saved_model.pb", 10)
    self._write("export/2/assets.extra/manifest.json", 10, constraints={"A": 1})
    self._write("constraints/A/manifest.json", 5)
    self._write("constraints/A/best.weights.h5", 5)
    self._write("flow/best.weights.h5", 5)

  def _write(self, path, time, **values):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.write_json(path, values)
    os.utime(path, (time, time))

  def _told(self):
    return studio._outdated(".", "export")

  def test_an_export_of_all_that_is_learned_is_kept(self):
    self.assertEqual(self._told(), "")

  def test_a_run_without_one(self):
    shutil.rmtree("export")
    self.assertEqual(self._told(), "export has none")

  def test_a_constraint_that_is_new_or_gone(self):
    self._write("constraints/B/manifest.json", 5)
    shutil.rmtree("constraints/A")
    self.assertRegex(self._told(), "export/2 differs from the run in .*, ")

  def test_models_that_were_trained_again(self):
    for name in ("constraints/A", "flow"):
      self._write(f"{name}/best.weights.h5", 11)
    self.assertEqual(self._told(), "export/2 is older than A, flow")


class ListenTest(absltest.TestCase):
  def test_a_host_elsewhere(self):
    with self.assertRaisesRegex(OSError, "at 192.0.2.1, port 8600: .*assign"):
      address.listen("192.0.2.1", 8600)
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with mock.patch.object(socket, "getaddrinfo", side_effect=unknown):
      with self.assertRaisesRegex(OSError, "at nowhere, port 8600: Name or"):
        address.listen("nowhere", 8600)

  def test_a_host_without_one_of_its_addresses(self):
    found = [(socket.AF_INET6,), (socket.AF_INET,)]
    found = [(*one, None, None, None, ("localhost", 1)) for one in found]
    absent = OSError(errno.EADDRNOTAVAIL, "Cannot assign")
    with (
      mock.patch.object(socket, "getaddrinfo", return_value=found),
      mock.patch.object(socket, "create_server", side_effect=[absent, "open"]),
    ):
      self.assertEqual(address.listen("localhost", 1), ["open"])
