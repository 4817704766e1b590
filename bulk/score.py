"""Makes millions of samples, and reads the attributes of each.

    python -m bulk.score --run_dir=runs/mine --rows=1000000 --out=samples \
        --want="Smiling, not Male" \
        --rules=lc_keras.constraints.face_rules:blue_background

Samples are draws of the prior, or those of the run's sampler for a request. The
run's pixel classifier, if it has one, and rules read the decoded images. --out
gets TFRecord files of tf.Example: `row`, `latents`, `attributes`
(probabilities, in the order of manifest.json), `rule/<module:function>`, and
with --images `image/encoded`, a PNG. Row i depends neither on the number of
rows nor on the machine that makes it.
"""

import dataclasses
import json
import os
from collections.abc import Mapping

import numpy as np
from absl import flags

from bulk import runners
from bulk import shards
from lc_keras import files
from trainers import common_flags
from trainers import messages
from trainers import program

_PRIOR = "prior"
_BATCH_SIZE = 64


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  runners.define_flags(values)
  flags.DEFINE_string(
    "out", None, "Folder for the records.", flag_values=values, required=True
  )
  flags.DEFINE_integer(
    "rows", 1000, "Samples to make.", lower_bound=1, flag_values=values
  )
  flags.DEFINE_string(
    "want",
    None,
    "The request, such as 'Smiling, not Male'; draws of the prior if not "
    "given.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "sampler",
    "best",
    "Sampler for --want: best, or one of lc_keras.samplers.table.",
    flag_values=values,
  )
  flags.DEFINE_list(
    "rules",
    [],
    "Rules whose values are noted, module:function each. They are code that is "
    "run: name only what you trust.",
    flag_values=values,
  )
  flags.DEFINE_bool(
    "images", False, "Whether to keep the images.", flag_values=values
  )
  flags.DEFINE_integer(
    "seed", 0, "Seed of the samples.", lower_bound=0, flag_values=values
  )


@dataclasses.dataclass(frozen=True)
class Scoring:
  """Makes and reads samples, see `shards.Work`."""

  run_dir: str
  want: str | None
  sampler: str
  rules: tuple[str, ...]
  images: bool
  seed: int
  identity: Mapping[str, str]
  ending: str = ".tfrecord"

  def open(self) -> shards.Make:
    """Loads the models of the run."""
    from bulk import records
    from lc_keras import parts
    from lc_keras.constraints import rule
    from lc_keras.evaluation import judge
    from lc_keras.generators import generator

    sample = self._prior() if self.want is None else self._requested()
    readers = {}
    known = parts.read(self.run_dir)
    are_images = generator.are_images(known.generator)
    if self.images and not are_images:
      raise ValueError(
        "--images keeps PNG files, and what this generator makes is no image: "
        "leave it out."
      )
    classifier = known.models.get("classifier")
    if classifier is not None:
      readers["attributes"] = judge.Judge(classifier).probabilities
    for name in self.rules:
      readers[f"rule/{name}"] = rule.Rule(name, are_images=are_images).values

    def make(shard, path):
      latents, images = sample(shard.start, shard.stop)
      columns = {"latents": latents}
      for name, read in readers.items():
        columns[name] = np.reshape(read(images), [len(images), -1])
      good, bad = shards.split_rows(shard, columns.values())
      columns["row"] = np.arange(shard.start, shard.stop)
      if self.images:
        columns["image/encoded"] = [*map(records.png, images)]
      rows = ({name: c[i] for name, c in columns.items()} for i in good)
      records.write(path, rows)
      return bad

    return make

  def _prior(self):
    """Returns a function of rows [start, stop) to latents and images."""
    from lc_keras import batched
    from lc_keras.generators import generator

    model = generator.load(self.run_dir)

    def draw(seeds):
      latents = generator.draw(model, seeds)
      return {"latents": latents, "images": model.decode(latents).mean()}

    compiled = batched.Batched(draw, _BATCH_SIZE)

    def sample(start, stop):
      seeds = np.arange(start, stop, dtype=np.int64)
      made = compiled(seeds + (np.int64(self.seed) << np.int64(32)))
      return made["latents"], made["images"]

    return sample

  def _requested(self):
    """Returns a function of rows [start, stop) to latents and images."""

    import lc_keras

    control = lc_keras.load(self.run_dir)

    def sample(start, stop):
      made = control.sample(
        self.want, stop - start, self.seed, self.sampler, start
      )
      return made.latents, made.images

    return sample


def run_job(settings: flags.FlagValues) -> None:
  """Writes the records, and manifest.json last."""
  from lc_keras import parts

  known = parts.read(settings.run_dir)
  identity = _identity(known, settings)
  work = Scoring(
    os.path.abspath(settings.run_dir),
    settings.want,
    settings.sampler,
    tuple(settings.rules),
    settings.images,
    settings.seed,
    identity,
  )
  cut = shards.cut("samples", settings.rows, settings.rows_per_shard)
  total = runners.run(shards.Job(settings.out, work, cut), settings)
  files.write_json(
    os.path.join(settings.out, "manifest.json"),
    {
      "identity": identity,
      "attributes": list(known.labels.names),
      **total,
      "files": [shard.name + work.ending for shard in cut],
    },
  )
  messages.info(
    f"{total['rows']} samples in {len(cut)} files in {settings.out}, "
    f"{total['bad']} bad"
  )


def _identity(known, settings):
  """Returns everything besides the row that a record depends on."""
  from lc_keras.constraints import rule
  from lc_keras.learning import constraint_names
  from lc_keras.learning import learned_constraints
  from lc_keras.models import storage

  folder = known.folder
  about = {
    f"constraint {name}": learned_constraints.read_manifest(folder, name)
    for name in constraint_names.names(folder)
  } | {f"rule {name}": rule.Rule(name).identity for name in settings.rules}
  weights = {
    name: files.checksum(os.path.join(folder, name, storage.WEIGHTS))
    for name in known.models
  }
  return {
    "generator": known.fingerprint,
    "want": settings.want or _PRIOR,
    "sampler": settings.sampler if settings.want else _PRIOR,
    "images": str(settings.images),
    "seed": str(settings.seed),
    "rows_per_shard": str(settings.rows_per_shard),
    **{name: json.dumps(each, sort_keys=True) for name, each in about.items()},
    **weights,
  }


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job, again="makes the shards that are missing")


if __name__ == "__main__":
  main()
