"""What the end of a pass over data costs: python -m benchmarks.pass_end.

TensorFlow's tuning of a pipeline keeps whoever ends it waiting (see
`lc_keras.data.streams`): the same short passes with and without it.
"""

import time

import tensorflow as tf
from absl import app
from absl import flags

from benchmarks import figures
from benchmarks import outcomes
from lc_keras.data import streams

_ROUNDS = 7
# Of a round: which of them have to wait is chance.
_PASSES = 6
_OUT_DIR = flags.DEFINE_string("out_dir", outcomes.FOLDER, "Where to.")


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  machine = figures.machine()
  matrix = tf.random.normal([1500, 1500])

  @tf.function
  def work(iterator):
    return tf.cast(next(iterator), tf.float32) * (matrix @ matrix)[0, 0]

  def seconds(batches):
    started = time.perf_counter()
    for _ in range(_PASSES):
      iterator = iter(batches)
      try:
        while True:
          work(iterator)
      except tf.errors.OutOfRangeError:
        del iterator
    return (time.perf_counter() - started) / _PASSES

  tuned = tf.data.Dataset.range(20).map(lambda row: row + 1).prefetch(2)
  untuned = tuned.apply(streams.untuned)
  seconds(untuned)
  pairs = [(seconds(untuned), seconds(tuned)) for _ in range(_ROUNDS)]
  ours, theirs = ([1.0 / time for time in times] for times in zip(*pairs))
  row = {
    **figures.comparison("a pass of 20 batches", "passes/s", ours, theirs),
    "peer_name": "the same, tuned",
    "rates": {"ours": ours, "the same, tuned": theirs},
  }
  outcomes.report("pass_end", [row], machine=machine, folder=_OUT_DIR.value)


if __name__ == "__main__":
  app.run(_run)
