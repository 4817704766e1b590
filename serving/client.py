"""Requests images from a server, on the command line.

  python -m serving.client sample --want="Smiling, not Male" --out=faces.png
  python -m serving.client transform --image=me.png --want=Smiling --out=us.png
  python -m serving.client sample --preset=toon_faces --want=Smiling --out=a.png

`constraints.language` parses the request. The server may be `serving.server` or
a TensorFlow Serving: the client reads all facts about the model from it. With
--preset there is no server: this process makes the images.
"""

import functools
import os
import sys

from absl import app
from absl import flags
from absl import logging

from lc_keras import files
from trainers import flag_errors


def define_server_flags(values: flags.FlagValues) -> None:
  """Defines the flags that name a server and its model."""
  string = functools.partial(flags.DEFINE_string, flag_values=values)
  string("server", "localhost:8500", "host:port of the server's gRPC.")
  string("model_name", "default", "The name that the server has for the model.")
  string(
    "token_file",
    None,
    "File with a bearer token, if the server requires one.",
  )
  string(
    "root_certificates",
    None,
    "PEM file of trusted root certificates; the client then uses TLS.",
  )


def credentials(args: flags.FlagValues) -> dict:
  """Returns keyword arguments of a client, from `define_server_flags`.

  Raises:
    OSError: A file cannot be read.
  """
  import grpc

  arguments = {}
  if args.token_file:
    with open(args.token_file, encoding="utf-8") as file:
      arguments["token"] = file.read().strip()
  if args.root_certificates:
    with open(args.root_certificates, "rb") as file:
      arguments["credentials"] = grpc.ssl_channel_credentials(file.read())
  return arguments


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags; not on import, since other programs share names."""
  define_server_flags(values)
  string = functools.partial(flags.DEFINE_string, flag_values=values)
  string(
    "preset",
    None,
    "Name of a preset, or a run folder: it makes the images in this process, "
    "and no server is asked.",
  )
  number = functools.partial(flags.DEFINE_float, flag_values=values)
  integer = functools.partial(flags.DEFINE_integer, flag_values=values)
  string(
    "want",
    "",
    'The request, such as "Smiling, not Male", "Bald or Wearing_Hat" or '
    '"2 * Smiling, 0.5 * realism". `sample` leaves the other attributes open, '
    "`transform` keeps them.",
  )
  flags.DEFINE_multi_string(
    "image",
    [],
    "transform: a picture to change, of any size and format; may be given "
    "several times.",
    flag_values=values,
  )
  string(
    "sampler",
    "actor",
    "Who makes the images: the actor, in one step, or one of the others that "
    "the model was exported with, such as `search`.",
  )
  number(
    "strength",
    1.0,
    "transform: the part of the actor's change to make, 0 for none.",
    lower_bound=0.0,
  )
  integer("n", 16, "sample: number of images.", 1, 1024)
  integer(
    "seed",
    0,
    "Seed of all draws: the same seed gives the same images.",
    *(0, 2**62),
  )
  string("out", None, "PNG file to write.", required=True)
  number(
    "timeout",
    60.0,
    "Seconds that a call may take, including the wait for a server that is "
    "still starting.",
    lower_bound=0.001,
  )


def _run(argv):
  args = flags.FLAGS
  logging.set_verbosity(logging.ERROR)
  if len(argv) != 2 or argv[1] not in ("sample", "transform"):
    raise app.UsageError(
      "Say what to do, `sample` or `transform`, and nothing else: "
      f"got {' '.join(argv[1:]) or 'nothing'}."
    )
  if argv[1] == "transform" and not (args.image and args.want.strip()):
    raise app.UsageError("transform needs --image and --want.")
  try:
    _check(args)
  except (ValueError, OSError) as error:
    sys.exit(f"Error: {error}")
  if args.preset:
    print(f"Loading TensorFlow, and then {args.preset}", flush=True)
  # These load TensorFlow, which `--help` does not need.
  from lc_keras import plotting
  from serving import messages

  try:
    picture = (_ask_here if args.preset else _ask_server)(args, argv[1])
    plotting.save(picture, args.out)
  except (messages.RequestError, ValueError, OSError) as error:
    sys.exit(f"Error: {error}")
  print(f"Wrote {args.out}")


def _check(args):
  """Raises ValueError or OSError for flags that cannot be used."""
  from lc_keras import preset
  from lc_keras import run_folder
  from lc_keras.constraints import attributes as attribute_names
  from lc_keras.constraints import language

  files.check_writable(args.out, "--out")
  for path in args.image:
    if not os.path.isfile(path):
      raise ValueError(
        f"--image={path}: there is no such file. Give the path of a picture."
      )
  request = args.want.strip() or "realism"
  if args.preset:
    attributes = run_folder.requestable(preset.readable(args.preset))
    language.check(request, attributes)
  else:
    # Its form: only the server knows the names.
    language.read(request, attribute_names.Attributes(["Smiling", "Male"]))


def _ask_server(args, verb):
  """Returns a picture of a server's answer."""
  from serving import latent_client
  from serving import pictures

  with latent_client.LatentClient(
    args.server, args.model_name, args.timeout, **credentials(args)
  ) as client:
    if not client.connect(1.0):
      print(
        f"Waiting for a server at {args.server}, at most {args.timeout:g} "
        "seconds (--timeout)",
        flush=True,
      )
    if verb == "sample":
      return pictures.draw_samples(
        client, args.want, args.n, args.seed, args.sampler
      )
    return pictures.draw_transformations(
      client, args.image, args.want, args.seed, args.sampler, args.strength
    )


def _ask_here(args, verb):
  """Returns a picture of images that a preset makes in this process."""
  import numpy as np

  from lc_keras import control
  from lc_keras import plotting
  from lc_keras.constraints import requests
  from serving import pictures

  loaded = control.load(args.preset)
  print("Making the images", flush=True)
  # In a server, "actor" is the best sampler that the model has.
  sampler = "best" if args.sampler == "actor" else args.sampler
  request = args.want.strip() or "realism"
  expression = requests.parse(request, loaded.attributes)
  if verb == "sample":
    made = loaded.sample(request, args.n, args.seed, sampler)
    picture = made.picture(pictures.COLUMNS)
  else:
    load = loaded.parts.preprocessing.load
    images = np.stack([load(path) for path in args.image])
    made = loaded.transform(images, request, args.seed, sampler, args.strength)
    scale = pictures.scale_of(images.shape[1:])
    picture = plotting.before_after(images, made.images, scale=scale)
  read = np.stack([*made.probabilities.values()], axis=-1)
  pictures.report(
    loaded.attributes,
    expression.rows(args.n) if verb == "sample" else expression.nearest(read),
    {"attribute_probabilities": read, "converged": made.converged},
  )
  return picture


def main() -> None:
  """Runs the program."""
  define_flags(flags.FLAGS)
  app.run(_run, flags_parser=flag_errors.parse)


if __name__ == "__main__":
  main()
