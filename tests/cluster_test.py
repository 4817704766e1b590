"""Two workers train and stop together, with the result of one process.

Real trainers in separate processes, over loopback and between two network
namespaces. Whatever interrupts them, their files are equal, bit for bit, to
those of one process with two replicas.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess

import h5py

from lc_keras import files
from tests import trainers_case

_ACTOR = (
  "--imitation_weight=0",
  "--critic_steps=1",
  "--steps=40",
  "--steps_per_epoch=20",
)
# A small model, since it is started many times.
_REALISM = ("--steps=200", "--steps_per_epoch=50")


class ClusterTest(trainers_case.TrainersCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.copy_base("alone")

  def _start(
    self, job, names, *more, hosts=None, networks=(None, None), **of_chief
  ):
    """Starts two workers, by default on loopback, with further flags.

    The names are those of their run folders. The chief gets the hooks of
    `Nursery.start`.
    """
    hosts = hosts or [f"localhost:{port}" for port in _free_ports(2)]
    return [
      self.nursery.start(
        job,
        *self.flags(job, name),
        "--multi_worker",
        *more,
        network=network,
        environment={"TF_CONFIG": _tf_config(hosts, index)},
        **({} if index else of_chief),
      )
      for index, (name, network) in enumerate(zip(names, networks))
    ]

  def _assert_end(self, workers, *codes):
    for worker, code in zip(workers, codes, strict=True):
      self.assertEqual(self.nursery.wait(worker), code, worker.said)

  def _assert_lost(self, worker, other):
    """Asserts that a worker names the lost worker and the remedy."""
    self.assertRegex(
      worker.said,
      rf"Lost worker {other} \(.*\).*same command on all machines goes on "
      "from the last checkpoint",
    )
    self.assertNotIn("Traceback", worker.said)

  def _start_until(self, path, *arguments, **options):
    """Starts two workers; the chief pauses before it creates a path."""
    workers = self._start(*arguments, below=str(path), stop_at=1, **options)
    self.wait_until_still(workers[0])
    return workers

  def _assert_alike(self, one, two):
    """Asserts that two stages have equal files, bit for bit."""
    whole, other = (_end(self.folder / name) for name in (one, two))
    self.assertEqual(whole.keys(), other.keys())
    self.assertGreater(len(whole), 5)
    for name, known in whole.items():
      self.assertEqual(known, other[name], name)

  def test_killed_then_told_to_stop_then_gone_on_with(self):
    name, stage = "stopped", "realism"
    self.must(self.run_job("realism", "alone", "--replicas=2", *_REALISM))
    self.copy_base(name)
    path, both = self.folder / name / stage, [name, name]
    workers = self._start_until(
      path / "checkpoint-50", "realism", both, *_REALISM
    )
    os.kill(workers[1].pid, signal.SIGKILL)
    os.kill(workers[0].pid, signal.SIGCONT)
    self._assert_end(workers, 75, -signal.SIGKILL)
    self._assert_lost(workers[0], 1)
    # Now the chief is killed.
    options = {"below": str(path / "checkpoint-150"), "kill_at": 1}
    workers = self._start("realism", both, *_REALISM, **options)
    self._assert_end(workers, -signal.SIGKILL, 75)
    self._assert_lost(workers[1], 0)
    self.assertTrue((path / "checkpoint-100").exists())
    workers = self._start_until(
      path / "checkpoint-150", "realism", both, *_REALISM
    )
    os.kill(workers[1].pid, signal.SIGTERM)
    os.kill(workers[0].pid, signal.SIGCONT)
    self._assert_end(workers, 75, 75)
    self._assert_end(self._start("realism", both, *_REALISM), 0, 0)
    self._assert_alike(f"alone/{stage}", f"{name}/{stage}")

  def test_between_two_networks_that_lose_each_other(self):
    name, stage = "networks", "actor_0.1"
    self.must(self.run_job("actor", "alone", "--replicas=2", *_ACTOR))
    self.copy_base(name)
    with _two_networks(self) as (networks, hosts, link):
      options = {"hosts": hosts, "networks": networks}
      workers = self._start_until(
        self.folder / name / stage / "checkpoint-20",
        *("actor", [name, name], *_ACTOR),
        **options,
      )
      # Packets are lost without an error: only a timeout detects it.
      _ip("-n", networks[0], "link", "set", link, "down")
      os.kill(workers[0].pid, signal.SIGCONT)
      self._assert_end(workers, 75, 75)
      self._assert_lost(workers[0], 1)
      self._assert_lost(workers[1], 0)
      _ip("-n", networks[0], "link", "set", link, "up")
      workers = self._start("actor", [name, name], *_ACTOR, **options)
      self._assert_end(workers, 0, 0)
    self._assert_alike(f"alone/{stage}", f"{name}/{stage}")

  def test_refuses_what_cannot_go_well(self):
    self.copy_base("mine")
    self.copy_base("another")
    for flags, names, message in (
      (("--batch_size=9",), ["mine"] * 2, "--batch_size=9 is no multiple"),
      (("--replicas=2",), ["mine"] * 2, "--replicas is for one machine"),
      ((), ["mine", "another"], "not the folder that the chief writes to"),
    ):
      workers = self._start("actor", names, *_ACTOR, *flags)
      self._assert_end(workers, 1, 1)
      for worker in workers:
        self.assertIn(message, worker.said)
        self.assertNotIn("Traceback", worker.said)
      shutil.rmtree(self.folder / "mine" / "actor_0.1", ignore_errors=True)
    self.assertFalse((self.folder / "another" / "actor_0.1").exists())
    two = _tf_config(["localhost:1", "localhost:2"], 0)
    for flags, text, message in (
      (
        ["--multi_worker"],
        "",
        "--multi_worker needs the environment variable TF_CONFIG",
      ),
      (["--multi_worker"], "{", "TF_CONFIG is not JSON"),
      ([], two, "TF_CONFIG names 2 workers. Give --multi_worker"),
    ):
      code, said = self.run_job(
        "actor", "mine", *_ACTOR, *flags, environment={"TF_CONFIG": text}
      )
      self.assertEqual(code, 1, said)
      self.assertIn(f"Error: {message}", said)


@contextlib.contextmanager
def _two_networks(test):
  """Yields two namespaces, addresses in them, and the first one's link.

  Where none can be created (that needs root), the test is skipped;
  the others still run, over loopback.
  """
  tag = f"{os.getpid() % 100000}"
  networks = [f"lck-{side}-{tag}" for side in "ab"]
  links = [f"lck{side}{tag}" for side in "ab"]
  with contextlib.ExitStack() as stack:
    try:
      for network in networks:
        _ip("netns", "add", network)
        stack.callback(_ip, "netns", "del", network)
      names = ("name", links[1], "netns", networks[1])
      _ip(
        *("-n", networks[0], "link", "add", links[0], "type", "veth", "peer"),
        *names,
      )
      for number, (network, link) in enumerate(zip(networks, links), 1):
        _ip("-n", network, "addr", "add", f"10.99.0.{number}/24", "dev", link)
        for up in (link, "lo"):
          _ip("-n", network, "link", "set", up, "up")
    except (OSError, subprocess.CalledProcessError) as error:
      why = getattr(error, "stderr", None) or error
      reason = f"No network namespaces can be made here: {why}"
      print(f"\nSKIPPED, NOT TESTED: {reason}", flush=True)
      test.skipTest(reason)
    yield networks, ["10.99.0.1:2222", "10.99.0.2:2222"], links[0]


def _ip(*arguments):
  subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def _free_ports(count):
  """Returns ports that the system does not give to other programs."""
  with contextlib.ExitStack() as stack:
    ports = []
    while len(ports) < count:
      # The system assigns ports from 32768 up.
      port = random.randrange(20_000, 32_768)
      with contextlib.suppress(OSError):
        stack.enter_context(socket.create_server(("localhost", port)))
        ports.append(port)
    return ports


def _tf_config(hosts, index):
  task = {"type": "worker", "index": index}
  return json.dumps({"cluster": {"worker": hosts}, "task": task})


def _end(stage):
  """Returns the results of a finished stage, by file."""
  done = json.loads((stage / "done.json").read_text())
  # Further checkpoints depend on where the training was stopped.
  folders = {stage.name, "pictures", f"checkpoint-{done['steps']}"}
  end = {"best": done["best"], "steps": done["steps"]}
  for path in stage.rglob("*"):
    if path.parent.name not in folders:
      continue
    name = str(path.relative_to(stage))
    if path.suffix == ".h5":
      end[name] = _values(path)
    elif path.suffix in {".csv", ".png"}:
      end[name] = files.checksum(str(path))
  return end


def _values(path):
  """Returns the values in a file of weights, by name.

  Keras also stores the number of layers that the process has created.
  """
  values = {}

  def note(name, item):
    if isinstance(item, h5py.Dataset):
      values[name] = item[()].tobytes()

  with h5py.File(path) as file:
    file.visititems(note)
  return values
