"""How time and memory grow: python -m benchmarks.scaling.

One quantity at a time is doubled, of the published critic and actor at latent
256, width 512 and batch 128. Replicas are logical CPUs of the same processor:
that shows what running in step costs, and no gain can come of it.
"""

import os
import tempfile
import time

import keras
import numpy as np
import psutil
import tensorflow as tf
from absl import app
from absl import flags
from matplotlib import figure

from benchmarks import figures
from benchmarks import outcomes
from lc_keras import plotting
from lc_keras.data import latent_batches
from lc_keras.data import latent_cache
from lc_keras.data import latents
from lc_keras.models import actor_critic
from lc_keras.models import actor_critic_recipe
from lc_keras.models import adam
from lc_keras.models import attribute_critic
from trainers import loop

_BASE = {"latent": 256, "attributes": 10, "batch": 128, "replicas": 1}
_SWEEPS = {
  "latent": (64, 128, 256, 512),
  "attributes": (5, 10, 20, 40),
  "batch": (32, 64, 128, 256),
  "replicas": (1, 2),
}
_ROWS = (25_000, 50_000, 100_000, 200_000)
_REPEATS = 5
_STEPS = 5
_OUT_DIR = flags.DEFINE_string("out_dir", outcomes.FOLDER, "Where to.")


def _cycle_seconds(latent, attributes, batch, replicas):
  """Returns CPU seconds of a critic's update and an actor's, a few times."""
  keras.utils.set_random_seed(0)
  strategy = tf.distribute.get_strategy()
  if replicas > 1:
    strategy = tf.distribute.MirroredStrategy(
      [f"CPU:{number}" for number in range(replicas)],
      cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
  with strategy.scope():
    model = actor_critic.ActorCritic(latent, attributes, 512, 4)
    model.compile(
      adam.Adam(1e-4, 0.0, 0.9),
      adam.Adam(1e-4, 0.0, 0.9),
      actor_critic_recipe.Recipe(
        posterior_scale=tf.fill([latent], 0.5),
        excludes=np.zeros([attributes] * 2),
        read_attributes=attribute_critic.AttributeCritic(
          latent, attributes, 512
        ),
      ),
      jit_compile=False,
    )
  rows = _latents(2 * batch, latent, attributes)
  data = latent_batches.at_random(rows, batch, turns=2)

  steps = loop.Loop(model, data)
  steps.train()

  def seconds():
    started = time.process_time()
    for _ in range(_STEPS):
      steps.train()
    return (time.process_time() - started) / _STEPS

  return [seconds() for _ in range(_REPEATS)]


def _latents(rows, latent, attributes):
  random = np.random.default_rng(0)
  mean = random.normal(size=[rows, latent]).astype(np.float32)
  labels = random.random([rows, attributes]) < 0.4
  return latents.Latents(mean, np.abs(mean) + 0.1, labels.astype(np.float32))


def _cache(rows):
  """Returns what a cache takes: CPU seconds, bytes in memory and on disk."""
  piece = _latents(5000, 256, 10)
  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "cache")
    started = time.process_time()
    pieces = (piece for _ in range(rows // len(piece)))
    latent_cache.write(path, {"train": pieces}, {})
    written = time.process_time() - started
    before = _own_memory()
    started = time.process_time()
    split = latent_cache.read(path, "train")
    opened = time.process_time() - started
    batches = latent_batches.at_random(split, 128, balanced_fraction=0.5)
    started = time.process_time()
    for _ in batches.take(300):
      pass
    drawn = (time.process_time() - started) / 300
    size = sum(entry.stat().st_size for entry in os.scandir(path))
    return {
      "rows": rows,
      "write_seconds": written,
      "open_seconds": opened,
      "draw_seconds": drawn,
      "memory_bytes": _own_memory() - before,
      "disk_bytes": size,
    }


def _own_memory():
  """Returns bytes that are of no file: what cannot be given up."""
  known = psutil.Process().memory_info()
  return known.rss - known.shared


def _draw(sweeps, caches):
  chart = figure.Figure(figsize=(12, 6), dpi=100, layout="constrained")
  axes = chart.subplots(2, 3).ravel()
  for axis, (name, points) in zip(axes, sweeps.items()):
    values = [1e3 * np.median(point["seconds"]) for point in points]
    axis.plot([point["value"] for point in points], values, marker="o")
    axis.set(xlabel=name, ylabel="ms of CPU per cycle of 1 + 1", ylim=(0, None))
  rows = [cache["rows"] for cache in caches]
  for key in ("write_seconds", "open_seconds"):
    values = [cache[key] for cache in caches]
    axes[4].plot(rows, values, marker="o", label=key.replace("_", " "))
  axes[4].set(xlabel="images", ylabel="s of CPU", ylim=(0, None))
  for key in ("disk_bytes", "memory_bytes"):
    values = [cache[key] / 2**20 for cache in caches]
    label = key.removesuffix("_bytes")
    axes[5].plot(rows, values, marker="o", label=label)
  axes[5].set(xlabel="images", ylabel="MiB", ylim=(0, None))
  for axis in axes[4:]:
    axis.legend(fontsize=8)
  return plotting.drawn(chart)


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  machine = figures.machine()
  cpu = tf.config.list_physical_devices("CPU")[0]
  one = tf.config.LogicalDeviceConfiguration()
  tf.config.set_logical_device_configuration(cpu, [one] * 2)
  caches = [_cache(rows) for rows in (_ROWS[0], *_ROWS)][1:]
  sweeps = {
    name: [
      {"value": value, "seconds": _cycle_seconds(**{**_BASE, name: value})}
      for value in values
    ]
    for name, values in _SWEEPS.items()
  }
  rows = [
    figures.alone(
      f"{name} {point['value']}",
      "ms of CPU",
      [1e3 * seconds for seconds in point["seconds"]],
    )
    for name, points in sweeps.items()
    for point in points
  ]
  outcomes.report(
    "scaling",
    rows,
    machine=machine,
    folder=_OUT_DIR.value,
    picture=_draw(sweeps, caches),
    caches=caches,
  )


if __name__ == "__main__":
  app.run(_run)
