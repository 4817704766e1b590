"""Builds toon_faces, faces rendered shard by shard.

    python -m bulk.toon_faces --builder_config=studio --data_dir=data \
        --runner=DirectRunner

Leaves the very data set that `python -m trainers.data` prepares.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from absl import flags
from etils import epy

from bulk import running
from bulk import shards as shards_lib
from trainers import runs

with epy.lazy_imports():
  from bulk import records
  from lc_keras.data.toon_faces import builder as builder_lib


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  running.define_flags(values)
  flags.DEFINE_enum(
    "builder_config",
    "studio",
    ["studio", "wild", "tiny"],
    "Which faces.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "data_dir",
    "data",
    "Folder in which prepared data sets are kept.",
    flag_values=values,
  )
  flags.DEFINE_integer(
    "rows_per_shard",
    2048,
    "Faces that a file holds: as many are lost when a worker is.",
    lower_bound=1,
    flag_values=values,
  )


@dataclasses.dataclass(frozen=True)
class Rendering:
  """Renders faces, see `shards.Work`."""

  config: str
  identity: Mapping[str, str]
  ending: str = ".tfrecord"

  def open(self) -> _Renderer:
    """Prepares what draws."""
    return _Renderer(self.config)


class _Renderer:
  def __init__(self, config):
    # It writes nothing: only its faces are wanted.
    self._builder = builder_lib.ToonFaces(config=config, data_dir=os.devnull)

  def make(self, shard, path):
    records.write(
      path, self._builder.render(shard.split, shard.start, shard.stop)
    )
    return shards_lib.Made(shard.stop - shard.start, {})


def build(settings: flags.FlagValues) -> None:
  """Renders all faces, and prepares the data set from them."""
  data_dir = os.path.abspath(os.path.expanduser(settings.data_dir))
  folder = os.path.join(
    data_dir, "shards", "toon_faces", settings.builder_config
  )

  def examples(split):
    for shard in cut[split]:
      for row in records.read(shards_lib.path(folder, work, shard)):
        yield {
          "id": int(row["id"][0]),
          "image": row["image"],
          "attributes": row["attributes"].astype("uint8"),
          "focus": int(row["focus"][0]),
        }

  builder = builder_lib.ToonFaces(
    config=settings.builder_config, data_dir=data_dir, examples=examples
  )
  if builder.is_prepared():
    runs.say(f"toon_faces/{settings.builder_config} is prepared in {data_dir}.")
    return
  work = Rendering(
    settings.builder_config,
    {
      "config": settings.builder_config,
      "version": str(builder.version),
      "rows_per_shard": str(settings.rows_per_shard),
    },
  )
  cut = {
    split: shards_lib.cut(split, rows, settings.rows_per_shard)
    for split, rows in builder.builder_config.faces.items()
  }
  running.run(
    folder, work, [shard for split in cut.values() for shard in split], settings
  )
  builder.download_and_prepare()
  runs.say(f"toon_faces/{settings.builder_config} is prepared in {data_dir}.")


def main() -> None:
  """Runs the job as a program."""
  runs.main(define_flags, build, again="makes the shards that are missing")


if __name__ == "__main__":
  main()
