"""Kills trainers of all kinds for hours: `make chaos HOURS=8`.

Every round kills and stops one trainer at random until it has finished, and
compares its files with those of an undisturbed run. Each round is printed with
its seed; a failed round keeps its folder, and `CHAOS_SEED=<seed> CHAOS_HOURS=0`
repeats it. Kills before the n-th change of a file are repeated exactly, kills
after a time only on an equally fast machine.
"""

import os
import pathlib
import random
import shutil
import signal
import sys
import time

from tests import nursery
from trainers import jobs

_HOURS = float(os.environ.get("CHAOS_HOURS", "1"))
_SEED = int(os.environ.get("CHAOS_SEED", time.time_ns() % 10**9))
_FOLDER = pathlib.Path(os.environ.get("CHAOS_FOLDER", "runs/chaos")).resolve()
_CONFIG = pathlib.Path(__file__).parents[1] / "configs" / "tiny"
# Run, job, flagfile, stage. A run is about one generative model.
_JOBS = (
  *(
    ("b" if name == "gan" else "a", name, name, name)
    for name in jobs.JOBS
    if name not in ("data", "actor")
  ),
  ("a", "actor", "actor", "actor_0.1"),
  ("a", "actor", "actor_0", "actor_0"),
)
_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_CODES = {signal.SIGKILL: -9, signal.SIGTERM: 75, signal.SIGINT: 130}
_MOST_FAULTS = 12


class _Chaos:
  """Trainers, and the files of their undisturbed runs."""

  def __init__(self):
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir(parents=True)
    self._nursery = nursery.Nursery(_FOLDER)
    self.faults = 0
    self._whole, self._seconds, self._changes = {}, {}, {}
    for job in _JOBS:
      run, *_, stage = job
      folder = _FOLDER / "whole" / run
      started = time.monotonic()
      code, said = self._nursery.run(
        *self._command(folder, job), below=str(folder / stage), tell=True
      )
      if code:
        raise AssertionError(f"{job}: exit code {code}: {said}")
      self._seconds[job] = time.monotonic() - started
      self._changes[job] = said.count("change ")
      self._whole[job] = nursery.end_of(folder / stage)
      print(
        f"{stage}: {self._seconds[job]:.1f} s, {self._changes[job]} changes of "
        "files",
        flush=True,
      )

  def close(self):
    """Ends the processes."""
    self._nursery.close()

  def play(self, seed):
    """Runs one round; returns its description, and differences at the end."""
    chance = random.Random(seed)
    job = chance.choice(_JOBS)
    run, *_, stage = job
    folder = _FOLDER / f"round_{seed}"
    shutil.copytree(_FOLDER / "whole" / run, folder, symlinks=True)
    shutil.rmtree(folder / stage)
    did, code = [], None
    while code != 0:
      if len(did) == _MOST_FAULTS:
        code, said = self._nursery.run(*self._command(folder, job))
        expected = 0
      elif chance.random() < 0.5:
        change = chance.randint(1, self._changes[job])
        did.append(f"change {change}")
        expected = -9
        code, said = self._nursery.run(
          *self._command(folder, job),
          below=str(folder / stage),
          kill_at=change,
        )
      else:
        number = chance.choice(_SIGNALS)
        trainer = self._nursery.start(*self._command(folder, job))
        moment = chance.uniform(0.0, 1.0) * self._seconds[job]
        did.append(f"{number.name} after {moment:.1f} s")
        time.sleep(moment)
        os.kill(trainer.pid, number)
        code, said = self._nursery.wait(trainer), trainer.said
        expected = _CODES[number]
      self.faults += code != 0
      # A signal may come before its handler is installed.
      if code not in (0, expected, -signal.SIGTERM, -signal.SIGINT):
        return stage, did, f"exit code {code} and not {expected}: {said}"
    wrong = _difference(self._whole[job], nursery.end_of(folder / stage))
    if not wrong:
      shutil.rmtree(folder)
    return stage, did, wrong

  def _command(self, folder, job):
    _, name, flagfile, _ = job
    return (
      name,
      f"--flagfile={_CONFIG / flagfile}.cfg",
      f"--run_dir={folder}",
      f"--data_dir={_FOLDER / 'data'}",
      "--dataset=toon_faces/tiny",
    )


def _difference(expected, found):
  """Returns the differences between two results, if any."""
  return ", ".join(
    name
    for name in sorted(expected.keys() | found.keys())
    if expected.get(name) != found.get(name)
  )


def main() -> None:
  """Runs rounds until the time is over; exits with 1 if any has failed."""
  started = time.monotonic()
  chaos = _Chaos()
  seed, rounds, failed = _SEED, 0, []
  while True:
    stage, did, wrong = chaos.play(seed)
    rounds += 1
    spent = time.monotonic() - started
    left = max(3600.0 * _HOURS - spent, 0.0)
    print(
      f"round {rounds}, CHAOS_SEED={seed}, {stage}: {len(did)} attempts, "
      f"{'WRONG: ' + wrong if wrong else 'as whole'}; {chaos.faults} faults, "
      f"{len(failed) + bool(wrong)} rounds failed, {left / 60.0:.0f} min left",
      flush=True,
    )
    if wrong:
      failed.append(seed)
      print(f"  {'; '.join(did)}\n  see {_FOLDER}/round_{seed}", flush=True)
    if not left:
      break
    seed += 1
  chaos.close()
  print(
    f"{rounds} rounds, {chaos.faults} faults in {spent / 3600.0:.2f} h; "
    + (f"failed: {failed}" if failed else "all ended as if nothing had been")
  )
  sys.exit(bool(failed))


if __name__ == "__main__":
  main()
