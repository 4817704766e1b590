"""Brings a generative model that another program wrote into a run.

    python -m trainers.import_generator --run_dir=runs/theirs \
        --saved_model=PATH --decode_signature=generate --pixel_range=-1,1

One of --saved_model, --keras_decoder and --callable says what it is. The model
is looked at and run; what it is, is noted in <run_dir>/generator, and its files
stay where they are. With --dataset, the run has attributes, too; without, what
can be asked of the model comes from rules.

A SavedModel and a Python function are programs: importing one runs it. Take
them only from people whose programs you would run.
"""

import os
import time
from collections.abc import Sequence

import numpy as np
from absl import flags

from lc_keras import files
from trainers import common_flags
from trainers import messages
from trainers import program
from trainers import stages

_STAGE = "generator"
# As in `adapter`, which takes seconds to load.
_PRIORS = ("normal", "uniform", "unit_uniform")
_ROWS, _COLUMNS = 4, 8


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  for name, text in {
    "saved_model": "Folder of a SavedModel.",
    "decode_signature": "Signature of the SavedModel that makes images of "
    "latents; needed if it has several.",
    "decode_input": "Name of that signature's input; only to be sure.",
    "decode_output": "Name of the output that is the images; needed if there "
    "are several.",
    "encode_signature": "Signature of the SavedModel that makes latents of "
    "images; the model cannot change images if not given.",
    "encode_input": "Name of that signature's input; only to be sure.",
    "encode_mean": "Name of the encoder's output that is the posterior's mean; "
    "needed if there are several and none is called mean.",
    "encode_scale": "Name of the output that is its standard deviation; not "
    "used with a uniform prior.",
    "encode_log_variance": "Name of the output that is the logarithm of its "
    "variance; instead of --encode_scale.",
    "keras_decoder": "A .keras file that makes images of latents.",
    "keras_encoder": "A .keras file that makes latents of images, if any.",
    "callable": "A Python function, module:function, that makes images of "
    "latents [batch, size]. One that returns numpy arrays cannot be exported.",
    "encode_callable": "A Python function, module:function, that makes of "
    "images the posterior's mean, or its mean and standard deviation.",
  }.items():
    flags.DEFINE_string(name, None, text, flag_values=values)
  flags.DEFINE_integer(
    "latent_size",
    None,
    "Size of a latent vector; needed if the model does not say, as functions "
    "do not.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_enum(
    "prior",
    "normal",
    _PRIORS,
    "What the model's latents are drawn from: N(0, I), or evenly from [-1, 1] "
    "(uniform) or [0, 1] (unit_uniform).",
    flag_values=values,
  )
  flags.DEFINE_list(
    "pixel_range",
    ["0", "1"],
    "The model's values for black and white, such as 0,1 or -1,1 or 0,255.",
    flag_values=values,
  )
  flags.register_validator(
    "pixel_range",
    _is_range,
    "--pixel_range needs two numbers, the lower first, such as -1,1.",
    flag_values=values,
  )
  flags.DEFINE_float(
    "posterior_scale",
    0.1,
    "Standard deviation of an encoded image, in each dimension, if the encoder "
    "says none.",
    lower_bound=1e-3,
    flag_values=values,
  )


def run_job(settings: flags.FlagValues) -> None:
  """Imports a model into a run."""
  from lc_keras.generators import generator
  from lc_keras.generators import importing
  from trainers import runs

  started = time.monotonic()
  spec, notes = None, []
  if not _is_done(settings):
    # First of all: what is refused leaves no run behind.
    drafted = _draft(settings)
    if drafted["kind"] != "keras":
      messages.say(
        "This runs the model, which is a program: import only what you trust."
      )
    spec, notes = importing.complete(drafted)
  run = runs.open_run(
    settings, needs_data=False, image_shape=spec and spec["image_shape"]
  )
  seconds = time.monotonic() - started
  stage = run.stage(_STAGE, settings)
  if stage.done:
    importing.read_spec(stage.folder)  # Refuses what has changed since.
    return
  model = importing.build(spec)
  notes += _draw(run, stage, model)
  # With it, the run has a generative model.
  files.write_json(stage.path(importing.SPEC), spec)
  stage.finish(
    seconds_before=seconds,
    latent_size=model.latent_size,
    image_shape=list(model.image_shape),
    encodes=generator.can_encode(model),
  )
  messages.say("\n".join([*notes, *_uses(run, model)]))


def _is_done(settings):
  """Whether the run has its model; refuses to bring a second one."""
  from lc_keras.generators import generator

  try:
    found = generator.find(settings.run_dir)
  except FileNotFoundError:
    return False
  if found != _STAGE:
    raise ValueError(
      f"The run in {settings.run_dir!r} has a generative model, in its stage "
      f"{found!r}, and can have only one. Choose another --run_dir."
    )
  done = stages.read_done(os.path.join(settings.run_dir, _STAGE))
  return done is not None


def _draft(settings):
  """Returns what the flags say of the model."""
  from lc_keras.generators import importing

  kinds = {
    "saved_model": (settings.saved_model, settings.encode_signature),
    "keras": (settings.keras_decoder, settings.keras_encoder),
    "callable": (settings.callable, settings.encode_callable),
  }
  given = [kind for kind, (decoder, _) in kinds.items() if decoder]
  if len(given) != 1:
    raise ValueError(
      "Say what to import, with one of --saved_model, --keras_decoder and "
      f"--callable; got {len(given)} of them."
    )
  (kind,) = given
  strange = [name for name, (_, encoder) in kinds.items() if encoder]
  if strange not in ([], [kind]):
    raise ValueError(
      f"The encoder must be of the same kind as the decoder, {kind}: "
      "--encode_signature goes with --saved_model, --keras_encoder with "
      "--keras_decoder, and --encode_callable with --callable."
    )
  decoder, encoder = kinds[kind]
  decode = {"outputs": _given(images=settings.decode_output)}
  encode = {
    "outputs": _given(
      mean=settings.encode_mean,
      scale=settings.encode_scale,
      log_variance=settings.encode_log_variance,
    )
  }
  if encode["outputs"] and not encoder:
    raise ValueError(
      "Outputs of an encoder are named, but no encoder: give it with "
      "--encode_signature, --keras_encoder or --encode_callable."
    )
  if kind == "saved_model":
    decode |= {"path": decoder} | _given(
      signature=settings.decode_signature, input=settings.decode_input
    )
    encode |= {"path": decoder} | _given(
      signature=encoder, input=settings.encode_input
    )
  else:
    key = "path" if kind == "keras" else "function"
    decode[key], encode[key] = decoder, encoder
  low, high = map(float, settings.pixel_range)
  return importing.draft(
    kind,
    decode,
    encode if encoder else None,
    prior=settings.prior,
    pixel_range=(low, high),
    posterior_scale=settings.posterior_scale,
    latent_size=settings.latent_size,
  )


def _given(**values):
  return {name: value for name, value in values.items() if value is not None}


def _draw(run, stage, model):
  """Draws what the model makes; returns sentences about it."""
  import tensorflow as tf

  from lc_keras import plotting
  from lc_keras.generators import generator

  count = _ROWS * _COLUMNS
  latents = tf.random.stateless_normal([count, model.latent_size], (0, 0))
  samples = model.decode(latents).mean().numpy()
  path = stage.path("pictures", "prior_samples.png")
  plotting.save(plotting.in_rows(samples, _COLUMNS), path)
  notes = [f"Samples of its prior: {path}"]
  if generator.can_encode(model) and run.dataset:
    images = next(iter(run.images().batches("test", count)))["image"].numpy()
    posterior = model.encode(images)
    rebuilt = model.decode(posterior.mean()).mean().numpy()
    path = stage.path("pictures", "reconstructions.png")
    shown = images[:_COLUMNS], rebuilt[:_COLUMNS]
    plotting.save(
      plotting.before_after(*shown, ["image", "reconstruction"]), path
    )
    error = np.square(rebuilt - images).mean()
    spread = np.std(posterior.mean(), axis=0).mean()
    notes += [
      f"Reconstructions of held-out images: {path}",
      f"Their squared error is {error:.4f} (that of their mean image: "
      f"{images.var(axis=0).mean():.4f}). The means of their posteriors vary "
      f"by {spread:.2f} (the prior: 1), its scale is "
      f"{posterior.stddev().numpy().mean():.3f}.",
    ]
  return notes


def _uses(run, model) -> Sequence[str]:
  """Returns lines that say what can be done with an imported model."""
  from lc_keras.generators import generator

  encodes = generator.can_encode(model)
  changes = (
    "It can encode: samples and changes of given images."
    if encodes
    else "No encoder was named: samples, but no changes of given images."
  )
  lines = [
    f"{model.latent_size} numbers a latent vector, images of "
    f"{' x '.join(map(str, model.image_shape))}. {changes}",
    "Next, each with the same --run_dir:",
  ]
  if run.dataset and not encodes:
    lines.append("  python -m trainers.classifier  reads labels from samples")
  lines.append("  python -m trainers.latents     needed by all that follows")
  if run.dataset:
    lines.append(
      "  python -m trainers.attributes  and then trainers.flow and "
      f"trainers.actor: {', '.join(run.attributes.names)}"
    )
  lines.append("  python -m trainers.constraint  new constraints, from rules")
  lines.append(
    "It can be exported and served."
    if model.exportable
    else "It cannot be exported: it is a Python function that returns arrays."
  )
  return lines


def _is_range(values):
  try:
    low, high = map(float, values)
  except ValueError:
    return False
  return low < high


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job)


if __name__ == "__main__":
  main()
