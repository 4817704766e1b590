"""Makes samples by the million, and says of each what it shows.

    python -m bulk.score --run_dir=runs/mine --rows=1000000 --out=samples \
        --want="Smiling, not Male" \
        --rules=lc_keras.constraints.face_rules:blue_background

Samples are draws of the prior, or what the run's sampler makes of a request.
Each is decoded and read: by the run's pixel classifier, if it has one, and by
rules. What is found is in TFRecord files of tf.Example in --out, `row` by
`row`: `latents`, `attributes` (probabilities, in the order of manifest.json),
`rule/<module:function>`, and with --images `image/encoded`, a PNG. Row i is the
same however many rows there are, and wherever it is made.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Mapping

import numpy as np
from absl import flags
from etils import epy

from bulk import running
from bulk import shards as shards_lib
from lc_keras import files
from trainers import common_flags
from trainers import runs

with epy.lazy_imports():
  from PIL import Image

  from bulk import records
  from lc_keras import batched
  from lc_keras import control
  from lc_keras import parts as parts_lib
  from lc_keras import priors
  from lc_keras.constraints import rule as rule_lib
  from lc_keras.evaluation import judge as judge_lib
  from lc_keras.generators import generator
  from lc_keras.learning import learnt as learnt_lib
  from lc_keras.models import storage

_CLASSIFIER = "classifier"
_PRIOR = "prior"
_BATCH_SIZE = 64


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  running.define_flags(values)
  flags.DEFINE_string(
    "out", None, "Folder for the records.", flag_values=values, required=True
  )
  flags.DEFINE_integer(
    "rows", 1000, "Samples to make.", lower_bound=1, flag_values=values
  )
  flags.DEFINE_integer(
    "rows_per_shard",
    4096,
    "Samples that a file holds: as many are lost when a worker is.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_string(
    "want",
    None,
    "What is asked for, such as 'Smiling, not Male'; draws of the prior if not "
    "given.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "sampler",
    "best",
    "Who answers --want: best, flow or search, see lc_keras.control.",
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

  def open(self) -> _Scorer:
    """Loads the models of the run."""
    return _Scorer(self)


class _Prior:
  """Draws of the prior, as they are."""

  def __init__(self, run_dir):
    model = generator.load(run_dir)

    def draw(seeds):
      latents = priors.sample_rows(seeds, model.latent_size)
      return {"latents": latents, "images": model.decode(latents).mean()}

    self._draw = batched.Batched(draw, _BATCH_SIZE)

  def sample(self, count, seed, first):
    """Returns latents and images of rows first to first + count."""
    seeds = np.arange(first, first + count, dtype=np.int64)
    made = self._draw(seeds + (np.int64(seed) << np.int64(32)))
    return made["latents"], made["images"]


class _Asked:
  """What the run's sampler makes of a request."""

  def __init__(self, run_dir, want, sampler):
    self._control = control.ControlledGenerator(run_dir)
    self._want = want
    self._sampler = sampler

  def sample(self, count, seed, first):
    """Returns latents and images of rows first to first + count."""
    made = self._control.sample(self._want, count, seed, self._sampler, first)
    return made.latents, made.images


class _Scorer:
  def __init__(self, work):
    self._work = work
    if work.want is None:
      self._source = _Prior(work.run_dir)
    else:
      self._source = _Asked(work.run_dir, work.want, work.sampler)
    self._judge = None
    if _CLASSIFIER in parts_lib.read(work.run_dir).models:
      self._judge = judge_lib.Judge(
        storage.load(os.path.join(work.run_dir, _CLASSIFIER))
      )
    self._rules = {name: rule_lib.Rule(name) for name in work.rules}

  def make(self, shard, path):
    latents, images = self._source.sample(
      shard.stop - shard.start, self._work.seed, shard.start
    )
    columns = {"latents": latents}
    if self._judge:
      columns["attributes"] = self._judge.probabilities(images)
    for name, rule in self._rules.items():
      columns[f"rule/{name}"] = rule.values(images)[:, np.newaxis]
    good = np.all(
      [np.isfinite(column).all(axis=1) for column in columns.values()], axis=0
    )
    rows = np.arange(shard.start, shard.stop)
    if self._work.images:
      columns["image/encoded"] = [_png(image) for image in images]
    records.write(
      path,
      (
        {"row": row, **{name: column[i] for name, column in columns.items()}}
        for i, row in enumerate(rows)
        if good[i]
      ),
    )
    bad = dict.fromkeys(rows[~good].tolist(), "not a number")
    return shards_lib.Made(int(good.sum()), bad)


def score(settings: flags.FlagValues) -> None:
  """Writes the records, and manifest.json last."""
  known = runs.read_run(settings.run_dir, settings.data_dir)
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
  shards = shards_lib.cut("samples", settings.rows, settings.rows_per_shard)
  total = running.run(settings.out, work, shards, settings)
  files.write_json(
    os.path.join(settings.out, "manifest.json"),
    {
      "identity": identity,
      "attributes": list(known.attributes.names),
      "rows": total["rows"],
      "bad": total["bad"],
      "files": [shard.name + work.ending for shard in shards],
    },
  )
  runs.say(
    f"{total['rows']} samples in {len(shards)} files in {settings.out}, "
    f"{total['bad']} bad"
  )


def _identity(run, settings):
  """Returns all that the records depend on."""
  stages = [
    name
    for name in sorted(os.listdir(run.folder))
    if name not in generator.STAGES
    and os.path.exists(run.path(name, storage.WEIGHTS))
  ]
  about = {
    f"constraint {name}": learnt_lib.read_manifest(run.folder, name)
    for name in learnt_lib.names(run.folder)
  } | {f"rule {name}": rule_lib.Rule(name).identity for name in settings.rules}
  return {
    "generator": generator.fingerprint(run.folder),
    "want": settings.want or _PRIOR,
    "sampler": settings.sampler if settings.want else _PRIOR,
    "images": str(settings.images),
    "seed": str(settings.seed),
    "rows_per_shard": str(settings.rows_per_shard),
    **{
      name: json.dumps(value, sort_keys=True) for name, value in about.items()
    },
    **{
      name: files.checksum(run.path(name, storage.WEIGHTS)) for name in stages
    },
  }


def _png(image):
  pixels = np.rint(image * 255.0).astype(np.uint8)
  file = io.BytesIO()
  Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(
    file, "PNG"
  )
  return file.getvalue()


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, score, again="makes the shards that are missing")


if __name__ == "__main__":
  main()
