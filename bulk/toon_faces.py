"""Builds the data set toon_faces; faces are rendered shard by shard.

    python -m bulk.toon_faces --faces=studio --data_dir=data \
        --runner=DirectRunner

Writes the same data set as `python -m trainers.data`.
"""

import dataclasses
import os
from collections.abc import Mapping

from absl import flags

from bulk import runners
from bulk import shards
from trainers import messages
from trainers import program


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  runners.define_flags(values)
  flags.DEFINE_enum(
    "faces",
    "studio",
    ["studio", "wild", "tiny"],
    "The faces: of toon_faces/studio, and so on.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "data_dir",
    "data",
    "Folder in which prepared data sets are kept.",
    flag_values=values,
  )


@dataclasses.dataclass(frozen=True)
class Rendering:
  """Renders faces, see `shards.Work`."""

  faces: str
  identity: Mapping[str, str]
  ending: str = ".tfrecord"

  def open(self) -> shards.Make:
    """Loads the builder that renders faces."""
    from bulk import records
    from lc_keras.data.toon_faces import builder

    # The builder writes nothing: it only renders.
    drawn = builder.ToonFaces(config=self.faces, data_dir=os.devnull)

    def make(shard, path):
      records.write(path, drawn.render(shard.split, shard.start, shard.stop))
      return {}

    return make


def run_job(settings: flags.FlagValues) -> None:
  """Renders all faces, and prepares the data set from them."""
  from bulk import records
  from lc_keras.data.toon_faces import builder

  data_dir = os.path.abspath(os.path.expanduser(settings.data_dir))
  name = settings.faces

  def examples(split):
    for shard in splits[split]:
      for row in records.read(job.path(shard)):
        yield {
          "id": int(row["id"][0]),
          "image": row["image"],
          "attributes": row["attributes"].astype("uint8"),
          "focus": int(row["focus"][0]),
        }

  prepared = builder.ToonFaces(
    config=name, data_dir=data_dir, examples=examples
  )
  if not prepared.is_prepared():
    splits = {
      split: shards.cut(split, rows, settings.rows_per_shard)
      for split, rows in prepared.builder_config.faces.items()
    }
    identity = {
      "faces": name,
      "version": str(prepared.version),
      "rows_per_shard": str(settings.rows_per_shard),
    }
    job = shards.Job(
      os.path.join(data_dir, "shards", "toon_faces", name),
      Rendering(name, identity),
      sum(splits.values(), []),
    )
    runners.run(job, settings)
    prepared.download_and_prepare()
  messages.info(f"toon_faces/{name} is prepared in {data_dir}.")


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job, again="makes the shards that are missing")


if __name__ == "__main__":
  main()
