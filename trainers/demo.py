"""Shows what the method does, in minutes, with a trained generator.

    python -m trainers.demo

Loads a preset, draws samples and edits, learns one constraint from a rule and
another from 500 labels, joins all in one request, exports the models and
queries a model server. Each result appears on a page as soon as it is made.
`trainers.demo_from_scratch` trains the generator, too.
"""

import os
import time

from absl import flags

from lc_keras import run_folder
from trainers import messages
from trainers import program

_SHOWN = 8
_PAGE = "demo"


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  for name, default, text in (
    (
      "run_dir",
      "toon_faces",
      "Name of the preset, whose demo goes to runs/<name>; or a run folder.",
    ),
    ("want", "Smiling, Eyeglasses", "What the first images are asked for."),
    (
      "rule",
      "lc_keras.constraints.face_rules:blue_background",
      "module:function that says of images whether they show something new.",
    ),
    ("rule_name", "Blue_Background", "What that is called."),
    ("label_name", "Bangs", "An attribute that no model was told of."),
  ):
    flags.DEFINE_string(name, default, text, flag_values=values)
  flags.DEFINE_float(
    "threshold",
    0.9,
    "The rule's value from which it holds.",
    flag_values=values,
  )
  flags.DEFINE_list(
    "changes",
    ["Smiling", "not Smiling", "Eyeglasses", "Wearing_Hat", "Blond_Hair"],
    "What held-out images are changed to.",
    flag_values=values,
  )
  flags.DEFINE_integer(
    "label_limit", 500, "Labels to learn from.", 1, flag_values=values
  )
  flags.DEFINE_list(
    "recipe",
    [],
    "Settings of the two trainings instead of the usual ones: steps=400.",
    flag_values=values,
  )


def run_job(settings: flags.FlagValues) -> None:
  """Runs all steps, and prints the path of the page."""
  run_folder.read_about(settings.run_dir)  # Raises if there is no such run.
  clock = _Clock()
  folder = os.path.abspath(os.path.join(settings.run_dir, _PAGE))
  clock.say(f"The page grows while you wait: {folder}/index.html")
  clock.say("Loading TensorFlow and the generator")
  # Loads TensorFlow, which takes seconds.
  from trainers import demo_steps

  demo = demo_steps.Demo(settings, folder, clock.say)
  demo.sample()
  demo.edit()
  demo.learn_from_a_rule()
  demo.learn_from_labels()
  demo.join()
  demo.serve()
  demo.conclude(clock.seconds)
  clock.say(f"Done. Look at file://{folder}/index.html")
  messages.info(f"Play with it: make studio RUN={settings.run_dir}")


class _Clock:
  """Prints messages with the seconds since the start."""

  def __init__(self):
    self._started = time.monotonic()

  @property
  def seconds(self):
    """Seconds since the start."""
    return time.monotonic() - self._started

  def say(self, text):
    messages.info(f"{self.seconds:5.0f} s  {text}")


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job, "begins again: it takes minutes")


if __name__ == "__main__":
  main()
