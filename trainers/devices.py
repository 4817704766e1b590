"""Reports the devices of a job, and warns of a GPU that is left unused."""

import glob
import os
import shutil

import tensorflow as tf

from trainers import messages

_UNUSED = (
  "WARNING: this machine has an NVIDIA GPU that TensorFlow cannot use, so that "
  'this runs on the CPU. `pip install "lc-keras[cuda]"` installs the CUDA '
  "libraries; the driver must be one for CUDA 12 (`nvidia-smi` shows it). "
  "CUDA_VISIBLE_DEVICES=-1 says that it is meant, and ends this warning."
)
# Files of an NVIDIA driver, on the host and in containers.
_TRACES = ("/proc/driver/nvidia/gpus/*", "/dev/nvidia[0-9]*")


def tell() -> None:
  """Prints the devices that this job runs on."""
  gpus = tf.config.list_physical_devices("GPU")
  if not gpus:
    cores = len(os.sched_getaffinity(0))
    messages.info(f"Runs on the CPU: {cores} cores")
    if _has_gpu() and "CUDA_VISIBLE_DEVICES" not in os.environ:
      messages.info(_UNUSED)
    return
  details = map(tf.config.experimental.get_device_details, gpus)
  names = [one.get("device_name", "a GPU") for one in details]
  messages.info(f"Runs on {len(names)} GPU(s): {', '.join(names)}")


def _has_gpu():
  return any(map(glob.glob, _TRACES)) or shutil.which("nvidia-smi") is not None
