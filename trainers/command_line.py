"""The command `lc-keras`: each program of the package as a subcommand.

  lc-keras train vae --config=toon_faces --run_dir=runs/mine

does what `python -m trainers.vae` does with the same flags, and

  lc-keras train --config=celeb_a --data_dir=data

runs all jobs, from data to report: it is `lc-keras study`.
"""

import ast
import importlib.util
import pathlib
import runpy
import sys

from lc_keras import spelling
from trainers import jobs

# By subcommand: the module that runs, and its line of help.
COMMANDS = {
  f"train {name}": (f"trainers.{name}", entry.text)
  for name, entry in jobs.JOBS.items()
} | {
  "import": ("trainers.import_generator", "Bring your own generator"),
  "constraint": ("trainers.constraint", "Learn an attribute from labels"),
  "encoder": ("trainers.encoder", "Learn an encoder for a generator"),
  "evaluate": ("trainers.evaluate", "Measure a run and write the report"),
  "demo": ("trainers.demo", "Show what it is for, on a preset, in minutes"),
  "demo_from_scratch": (
    "trainers.demo_from_scratch",
    "Train all of it, on toon faces",
  ),
  "presets": ("trainers.presets", "List trained generators that come with it"),
  "preset": ("trainers.preset", "Write a preset from a run"),
  "study": ("trainers.study", "Train and evaluate over several seeds"),
  "summarize": ("trainers.summarize", "Summarise the reports of several runs"),
  "label_curve": ("trainers.label_curve", "Measure what labels are worth"),
  "export": ("serving.export", "Write a run as a SavedModel"),
  "publish": ("serving.publish", "Publish an export, if it is good enough"),
  "check": ("serving.check", "Check that an export can be served"),
  "serve": ("serving.server", "Serve exports over gRPC and REST"),
  "sample": ("serving.client", "Make images, by a server or a --preset"),
  "transform": ("serving.client", "Change images, by a server or a --preset"),
  "studio": ("serving.studio", "Open the page for a server"),
}
# Subcommands that their program gets as its first argument.
_VERBS = ("sample", "transform")


def main() -> None:
  """Runs the program of a subcommand, or lists the subcommands."""
  words = sys.argv[1:]
  if words[:1] == ["train"] and "".join(words[1:2]).startswith("--config"):
    words[0] = "study"  # All jobs of these configs.
  for count in (2, 1):
    command = " ".join(words[:count])
    if command in COMMANDS:
      verb = [command] if command in _VERBS else []
      _run(command, [*verb, *words[count:]])
      return
  place = words.pop(0) + " " if words[:1] == ["train"] else ""
  if words and words[0] not in ("-h", "--help", "help"):
    known = [one.removeprefix(place) for one in COMMANDS if place in one]
    near = spelling.nearest(words[0], known)
    sys.exit(
      f"Error: no such command: {place}{words[0]}{'; ' if near else '. '}{near}"
      f" lc-keras {place}--help lists them all."
    )
  print(_help(place))


def _help(prefix):
  width = max(map(len, COMMANDS))
  lines = [
    f"  {command:{width}}  {line}"
    for command, (_, line) in COMMANDS.items()
    if command.startswith(prefix)
  ]
  return "\n".join(
    [
      "usage: lc-keras COMMAND [--config=NAME] [flags]",
      "",
      *lines,
      "",
      "lc-keras COMMAND --help lists the flags of a command. NAME is a set of "
      "configs,\nsuch as toon_faces, fashion_mnist or celeb_a; lc-keras train "
      "--config=NAME does all of it.",
    ]
  )


def _run(command, arguments):
  module, _ = COMMANDS[command]
  sys.argv = [f"lc-keras {command}", *arguments]
  # absl prints this docstring before the flags.
  sys.modules["__main__"].__doc__ = _docstring(module)
  runpy.run_module(module, run_name="__main__")


def _docstring(module):
  spec = importlib.util.find_spec(module)
  path = pathlib.Path(spec.origin)
  if spec.submodule_search_locations:
    path = path.with_name("__main__.py")
  return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
  main()
