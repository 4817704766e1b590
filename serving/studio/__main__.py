"""Shows the pages.

  python -m serving.studio --server=localhost:8500 --run_dir=runs/demo

The server may be `serving.server` or a TensorFlow Serving, with a model that
`serving.export` has written.
"""

import contextlib
import functools
import sys

from absl import app
from absl import flags

from lc_keras import preset
from lc_keras import run_folder
from serving import client
from serving.studio import address
from trainers import flag_errors


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags; not on import, since other programs share names."""
  client.define_server_flags(values)
  for name in ("server", "model_name", "token_file", "root_certificates"):
    # Otherwise `--help` would not list them.
    flags.declare_key_flag(name, flag_values=values)
  string = functools.partial(flags.DEFINE_string, flag_values=values)
  integer = functools.partial(flags.DEFINE_integer, flag_values=values)
  string(
    "host",
    address.HOST,
    "Where the pages are offered; 0.0.0.0 is to everybody who reaches this "
    "machine.",
  )
  integer("port", address.PORT, "Port of the pages.", 1, 65535)
  string(
    "run_dir",
    None,
    "A run folder to browse, whose data set faces are taken from; or the name "
    "of a preset.",
  )
  string(
    "data_dir",
    "data",
    "Folder of prepared data sets; held-out faces come from there.",
  )
  string("faces", None, "A folder with pictures to offer instead.")
  string(
    "full_size_model",
    None,
    "Another model of the server, whose `decode` draws the same latents "
    "larger: then a button shows the result so.",
  )
  integer("num_faces", 12, "Most pictures to offer.", 0, 200)


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Not a flag: {' '.join(argv[1:])}")
  args = flags.FLAGS
  try:
    listening = address.listen(args.host, args.port)
    if args.run_dir:
      args.run_dir = preset.writable(args.run_dir)
      run_folder.read_about(args.run_dir)  # Raises if there is no such run.
  except (OSError, ValueError) as error:
    sys.exit(f"Error: {error}")
  # These load TensorFlow.
  from serving.studio import application
  from serving.studio import faces
  from serving.studio import web_server

  try:
    connection = client.credentials(args)
    shown = faces.find(args.faces, args.run_dir, args.data_dir, args.num_faces)
  except (OSError, ValueError) as error:
    sys.exit(f"Error: {error}")
  web = application.build(
    args.server,
    args.model_name,
    shown,
    args.run_dir,
    args.full_size_model,
    **connection,
  )
  with contextlib.suppress(KeyboardInterrupt):
    web_server.run(
      web, listening, f"The studio: http://{args.host}:{args.port}/"
    )


def main() -> None:
  """Runs the program."""
  define_flags(flags.FLAGS)
  app.run(_run, flags_parser=flag_errors.parse)


if __name__ == "__main__":
  main()
