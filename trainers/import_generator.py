"""Brings a generative model that another program wrote into a run.

    python -m trainers.import_generator --run_dir=runs/theirs \
        --saved_model=PATH --decode_signature=generate --pixel_range=-1,1

One of --saved_model, --keras_decoder and --callable says where the model is.
The job runs the model and notes in <run_dir>/generator what it is; the model's
files stay where they are. With --dataset, the run has attributes, too; without,
constraints come from rules.

A SavedModel and a Python function are programs: importing one runs it. Take
them only from people whose programs you would run.
"""

import os
import time

from absl import flags

from lc_keras import files
from trainers import common_flags
from trainers import messages
from trainers import program
from trainers import stages

_STAGE = "generator"
# As in `conventions`, which takes seconds to load.
_PRIORS = ("normal", "uniform", "unit_uniform")
_ROWS, _COLUMNS = 4, 8
# By kind of model, the flags of its decoder and encoder.
_KINDS = {
  "saved_model": ("saved_model", "encode_signature"),
  "keras": ("keras_decoder", "keras_encoder"),
  "callable": ("callable", "encode_callable"),
}
_TEXTS = {
  "saved_model": "Folder of a SavedModel.",
  "decode_signature": "Signature of the SavedModel that makes images of "
  "latents; needed if it has several.",
  "decode_input": "Name of that signature's input; only to be sure.",
  "decode_output": "Name of the output that is the images; needed if there are "
  "several.",
  "encode_signature": "Signature of the SavedModel that makes latents of "
  "images; the model cannot change images if not given.",
  "encode_input": "Name of that signature's input; only to be sure.",
  "encode_mean": "Name of the encoder's output that is the posterior's mean; "
  "needed if there are several and none is called mean.",
  "encode_scale": "Name of the output that is its standard deviation; not used "
  "with a uniform prior.",
  "encode_log_variance": "Name of the output that is the logarithm of its "
  "variance; instead of --encode_scale.",
  "keras_decoder": "A .keras file that makes images of latents.",
  "keras_encoder": "A .keras file that makes latents of images, if any.",
  "callable": "A Python function, module:function, that makes images of "
  "latents [batch, size]. One that returns numpy arrays cannot be exported.",
  "encode_callable": "A Python function, module:function, that makes of images "
  "the posterior's mean, or its mean and standard deviation.",
}


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  for name, text in _TEXTS.items():
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
  common_flags.define_range_flag(
    values,
    "pixel_range",
    ["0", "1"],
    "The model's values for black and white, such as 0,1 or -1,1 or 0,255.",
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
  from lc_keras.generators import specs
  from trainers import runs

  started = time.monotonic()
  model = None
  if not _is_done(settings.run_dir):
    # First of all: a model that is refused leaves no run behind.
    drafted = _draft(settings)
    if drafted["kind"] != "keras":
      messages.say(
        "This runs the model, which is a program: import only what you trust."
      )
    model = generator.Generator.of_files(drafted)
  run = runs.open_run(
    settings, needs_data=False, image_shape=model and model.image_shape
  )
  seconds = time.monotonic() - started
  stage = run.stage(_STAGE, settings)
  if stage.done:
    specs.read(stage.folder)  # Refuses a model that has changed since.
    return
  notes = [*model.notes, *_draw(run, stage, model)]
  # With it, the run has a generative model.
  files.write_json(stage.path(specs.SPEC), model.spec)
  stage.finish(
    seconds_before=seconds,
    latent_size=model.latent_size,
    image_shape=list(model.image_shape),
    encodes=generator.can_encode(model),
  )
  messages.say("\n".join([*notes, *_uses(run, model)]))


def _is_done(run_dir):
  """Whether the run has its model; refuses to bring a second one."""
  from lc_keras.generators import generator

  try:
    found = generator.find(run_dir)
  except FileNotFoundError:
    return False
  if found != _STAGE:
    raise ValueError(
      f"The run in {run_dir!r} has a generative model, in its stage {found!r}, "
      "and can have only one. Choose another --run_dir."
    )
  return stages.read_done(os.path.join(run_dir, _STAGE)) is not None


def _draft(settings):
  """Returns what the flags say of the model."""
  from lc_keras.generators import specs

  said = {name: settings[name].value for name in _TEXTS if settings[name].value}
  given = [kind for kind, (decoder, _) in _KINDS.items() if decoder in said]
  if len(given) != 1:
    raise ValueError(
      "Say what to import, with one of --saved_model, --keras_decoder and "
      f"--callable; got {len(given)} of them."
    )
  (kind,) = given
  encoders = [kind for kind, (_, encoder) in _KINDS.items() if encoder in said]
  if encoders not in ([], [kind]):
    raise ValueError(
      f"The encoder must be of the same kind as the decoder, {kind}: "
      "--encode_signature goes with --saved_model, --keras_encoder with "
      "--keras_decoder, and --encode_callable with --callable."
    )
  decode = {"outputs": _named(said, images="decode_output")}
  encode = {
    "outputs": _named(
      said,
      mean="encode_mean",
      scale="encode_scale",
      log_variance="encode_log_variance",
    )
  }
  if encode["outputs"] and not encoders:
    raise ValueError(
      "Outputs of an encoder are named, but no encoder: give it with "
      "--encode_signature, --keras_encoder or --encode_callable."
    )
  decoder, encoder = _KINDS[kind]
  if kind == "saved_model":
    path = {"path": said[decoder]}
    decode |= path | _named(
      said, signature="decode_signature", input="decode_input"
    )
    encode |= path | _named(said, signature=encoder, input="encode_input")
  else:
    place = "path" if kind == "keras" else "function"
    decode |= _named(said, **{place: decoder})
    encode |= _named(said, **{place: encoder})
  return specs.draft(
    kind,
    decode,
    encode if encoders else None,
    prior=settings.prior,
    pixel_range=tuple(map(float, settings.pixel_range)),
    posterior_scale=settings.posterior_scale,
    latent_size=settings.latent_size,
  )


def _named(said, **names):
  """Returns the values of flags, under other names, where they are given."""
  return {key: said[name] for key, name in names.items() if name in said}


def _draw(run, stage, model):
  """Draws what the model makes; returns sentences about it."""
  import numpy as np
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
    notes += [
      f"Reconstructions of held-out images: {path}",
      f"Their squared error is {np.square(rebuilt - images).mean():.4f} (that "
      f"of their mean image: {images.var(axis=0).mean():.4f}). The means of "
      "their posteriors vary by "
      f"{np.std(posterior.mean(), axis=0).mean():.2f} (the prior: 1), its "
      f"scale is {posterior.stddev().numpy().mean():.3f}.",
    ]
  return notes


def _uses(run, model):
  """Returns lines that say what can be done with an imported model."""
  from lc_keras.generators import generator

  encodes = generator.can_encode(model)
  shape = " x ".join(map(str, model.image_shape))
  lines = [
    f"{model.latent_size} numbers a latent vector, images of {shape}. "
    + (
      "It can encode: samples and changes of given images."
      if encodes
      else "No encoder was named: samples, but no changes of given images."
    ),
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
  return [
    *lines,
    "  python -m trainers.constraint  new constraints, from rules",
    "It can be exported and served."
    if model.exportable
    else "It cannot be exported: it is a Python function that returns arrays.",
  ]


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job)


if __name__ == "__main__":
  main()
