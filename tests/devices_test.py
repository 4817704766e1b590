"""Tests of devices: the messages of a job about its machine."""

import os
from unittest import mock

from absl.testing import parameterized

from trainers import devices

_GPU = {"device_name": "NVIDIA H200"}


class DevicesTest(parameterized.TestCase):
  def _said(self, *, gpus=(), traces=(), environment=None):
    said = []
    config = mock.Mock()
    config.list_physical_devices.return_value = gpus
    config.experimental.get_device_details.side_effect = lambda gpu: gpu
    with (
      mock.patch.object(devices.tf, "config", config),
      mock.patch.object(devices.glob, "glob", lambda path: traces),
      mock.patch.object(devices.shutil, "which", lambda name: None),
      mock.patch.object(devices.messages, "info", said.append),
      mock.patch.dict(os.environ, environment or {}),
    ):
      if environment is None:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
      devices.tell()
    return "\n".join(said)

  def test_names_the_gpus(self):
    self.assertEqual(
      self._said(gpus=[_GPU, {}], traces=["/dev/nvidia0"]),
      "Runs on 2 GPU(s): NVIDIA H200, a GPU",
    )

  def test_without_a_gpu_it_is_the_cpu(self):
    self.assertRegex(self._said(), r"^Runs on the CPU: \d+ cores$")

  def test_a_gpu_that_cannot_be_used_is_a_warning(self):
    said = self._said(traces=["/dev/nvidia0"])
    self.assertRegex(said, r"(?s)CPU.*WARNING: .*GPU.*lc-keras\[cuda\]")
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"}
    self.assertNotIn(
      "WARNING", self._said(traces=["/dev/nvidia0"], environment=hidden)
    )
