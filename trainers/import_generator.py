"""Brings a generative model that another program wrote into a run.

    python -m trainers.import_generator --run_dir=runs/theirs \
        --decoder=decoder.keras --encoder=encoder.keras

The job runs the model and writes its description to <run_dir>/generator; the
model's files stay where they are. With --dataset, the run has attributes, too;
without, constraints come from rules. docs/bring_your_own.md has an example of
each kind.

A SavedModel, a program of PyTorch and a Python function are programs: importing
one runs it. Take them only from people whose programs you would run.
"""

import os
import time

from absl import flags

from lc_keras import recipes
from lc_keras.recipes import setting
from trainers import common_flags
from trainers import messages
from trainers import program
from trainers import recipe_flags
from trainers import stages

_STAGE = "generator"
_ROWS, _COLUMNS, _PLOTS = 4, 8, 4
# Kinds of files that hold data and no program.
_DATA_ONLY = {"keras", "keras_2", "onnx", "samples"}


@recipes.recipe()
class Model:
  """A model as the flags describe it."""

  decoder: str | None = setting(
    None,
    "What makes images of latents: the folder of a SavedModel; a file of Keras "
    "(.keras, .h5), ONNX (.onnx) or PyTorch (.pt2, TorchScript); or "
    "module:function. A whole autoencoder brings its encoder.",
  )
  encoder: str | None = setting(
    None,
    "What makes latents of images, of any kind; without one the model cannot "
    "change images.",
  )
  mapping: str | None = setting(
    None,
    "What makes the decoder's latents, w, of draws of the prior, of any kind: "
    "of StyleGAN its mapping network; or samples of w, an array in a file "
    "(.npy).",
  )
  truncation: float = setting(
    1.0,
    "Draws w of a mapping become mean + truncation * (w - mean): below 1, "
    "finer and more alike.",
    low=1e-3,
  )
  decode_signature: str | None = setting(
    None, "Signature of a SavedModel that decodes; needed if it has several."
  )
  encode_signature: str | None = setting(
    None,
    "Signature of a SavedModel that encodes: of --encoder, or without one of "
    "the decoder's.",
  )
  tags: str | None = setting(
    None, "Tags of the graph of a SavedModel that has several, such as serve."
  )
  custom_objects: str | None = setting(
    None,
    "Module that defines the layers of their own of files of Keras; it is run.",
  )
  fixed: str | None = setting(
    None,
    "What other inputs are held at, such as class:207,truncation:0.7: a "
    "number, a class of an input that takes as many numbers, or an array of "
    "one row in a file (.npy).",
  )
  decode_output: str | None = setting(
    None, "Name of the output that is the images; needed if there are several."
  )
  encode_mean: str | None = setting(
    None,
    "Name of the encoder's output that is the posterior's mean; needed if "
    "there are several and none is called mean.",
  )
  encode_scale: str | None = setting(
    None,
    "Name of the output that is its standard deviation; not used with a "
    "uniform prior.",
  )
  encode_log_variance: str | None = setting(
    None,
    "Name of the output that is the logarithm of its variance; instead of "
    "--encode_scale.",
  )
  latent_size: str | None = setting(
    None,
    "Size of a latent vector, or the shape that the model takes it in, such as "
    "8,8,4; needed if the model does not say, as functions do not.",
  )
  image_shape: str | None = setting(
    None, "Shape of images that the model gives flat, such as 28,28,1."
  )
  prior: str = setting(
    "normal",
    "What the model's latents are drawn from: N(0, I), or evenly from [-1, 1] "
    "(uniform) or [0, 1] (unit_uniform).",
    choices=("normal", "uniform", "unit_uniform"),
  )
  pixel_range: str | None = setting(
    None,
    "The model's values for black and white, such as -1,1; found out if they "
    "are 0,1 or -1,1 or 0,255.",
  )
  pixels: str = setting(
    "values",
    "What the model gives: values of pixels, or logits of them.",
    choices=("values", "logits"),
  )
  plot: str | None = setting(
    None,
    "Says that outputs are no images, but arrays whose values stay as they "
    "are, and draws them: lines; or module:function, of axes and an output.",
  )
  posterior_scale: float = setting(
    0.1,
    "Standard deviation of an encoded image, in each dimension, if the encoder "
    "says none.",
    low=1e-3,
  )


def define_flags(values: flags.FlagValues) -> None:
  """Defines the flags of this job."""
  common_flags.define_run_flags(values)
  recipe_flags.define(values, Model)


def run_job(settings: flags.FlagValues) -> None:
  """Imports a model into a run."""
  from lc_keras.generators import generator
  from lc_keras.generators import specs
  from trainers import runs

  started = time.monotonic()
  model = None
  if not _is_done(settings.run_dir):
    # First: a refused model leaves no run behind.
    drafted = _draft(recipe_flags.read(settings, Model))
    if _is_program(drafted):
      messages.info(
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
  # This makes it the run's generative model.
  specs.write(
    model.spec, stage.folder, model.mapping and model.mapping.coordinates
  )
  stage.finish(
    seconds_before=seconds,
    latent_size=model.latent_size,
    image_shape=list(model.image_shape),
    encodes=generator.can_encode(model),
  )
  messages.info("\n".join([*notes, *_uses(run, model)]))


def _is_done(run_dir):
  """Whether the import is finished; raises if the run has another model."""
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


def _draft(model):
  """Returns the draft of a model's spec, from its flags."""
  from lc_keras.generators import specs

  decode = _place(model, model.decoder)
  encode = _place(model, model.encoder)
  mapping = _place(model, model.mapping)
  if decode is None:
    raise ValueError("Say what to import: --decoder is missing.")
  if encode is None and model.encode_signature:
    encode = dict(decode)
  outputs = _given(
    mean=model.encode_mean,
    scale=model.encode_scale,
    log_variance=model.encode_log_variance,
  )
  if encode is None and outputs:
    raise ValueError(
      "Outputs of an encoder are named, but no encoder: give it with --encoder "
      "or --encode_signature."
    )
  decode |= {"outputs": _given(images=model.decode_output)}
  decode |= _given(signature=model.decode_signature)
  if encode is not None:
    encode |= {"outputs": outputs} | _given(signature=model.encode_signature)
  return specs.draft(
    decode,
    encode,
    mapping,
    truncation=model.truncation,
    prior=model.prior,
    pixel_range=_numbers("pixel_range", model.pixel_range, float),
    pixels=model.pixels,
    posterior_scale=model.posterior_scale,
    latent_size=_numbers("latent_size", model.latent_size, int),
    image_shape=_numbers("image_shape", model.image_shape, int),
    fixed=_fixed(model.fixed),
    plot=model.plot,
  )


def _place(model, text):
  """Returns the place of a decoder, encoder or mapping; None without a flag."""
  from lc_keras.generators import kinds

  if not text:
    return None
  place = kinds.place_of(text)
  tags = None if model.tags is None else model.tags.split(",")
  if tags is not None:
    place["tags"] = [tag for tag in tags if tag]
  return place | _given(custom_objects=model.custom_objects)


def _given(**named):
  return {key: value for key, value in named.items() if value}


def _numbers(name, text, kind):
  """Returns the numbers of a flag; None if it is not given."""
  if text is None:
    return None
  try:
    return tuple(map(kind, text.split(",")))
  except ValueError as error:
    what = "whole numbers" if kind is int else "two numbers, the lower first"
    raise ValueError(
      f"--{name} needs {what}, separated by commas; got {text!r}."
    ) from error


def _fixed(text):
  """Returns the values of fixed inputs, by name."""
  held = {}
  for one in (text or "").split(","):
    name, colon, value = (part.strip() for part in one.partition(":"))
    if not one:
      continue
    if value.endswith(".npy"):
      value = os.path.abspath(os.path.expanduser(value))
      if not os.path.exists(value):
        raise FileNotFoundError(f"--fixed names {value!r}, which is not there.")
    else:
      try:
        value = float(value) if "." in value or "e" in value else int(value)
      except ValueError:
        colon = ""
    if not colon:
      raise ValueError(
        "--fixed needs the names of inputs with numbers or files of arrays, "
        f"such as class:207,truncation:0.7,noise:noise.npy; got {one!r}."
      )
    held[name] = value
  return held


def _is_program(drafted):
  places = [drafted[name] for name in ("decode", "encode", "map")]
  return any(
    place["kind"] not in _DATA_ONLY or "custom_objects" in place
    for place in filter(None, places)
  )


def _draw(run, stage, model):
  """Draws samples and reconstructions; returns lines that describe them."""
  import numpy as np

  from lc_keras import batched
  from lc_keras import plotting
  from lc_keras.generators import generator

  # Seeds from 0: a table of labels by seed refers to these samples.
  count = batched.rows_at_once(run.image_shape, _ROWS * _COLUMNS)
  count = max(count, _COLUMNS)
  samples = model.sample(range(count))
  path = stage.path("pictures", "prior_samples.png")
  columns = _COLUMNS if model.plot is None else _PLOTS
  shown = plotting.pictures(samples, model.plot)
  plotting.save(plotting.in_rows(shown, columns), path)
  notes = [f"Samples of it, of the seeds from 0 up: {path}"]
  if generator.can_encode(model) and run.dataset:
    images = next(iter(run.images().batches("test", count)))["image"].numpy()
    posterior = model.encode(images)
    rebuilt = model.map(posterior.mean())
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
  """Returns lines with an imported model's abilities and the next commands."""
  from lc_keras.generators import generator

  encodes = generator.can_encode(model)
  shape = " x ".join(map(str, model.image_shape))
  lines = [
    f"{model.latent_size} numbers a latent vector, "
    f"{'images' if model.plot is None else 'arrays'} of {shape}. "
    + (
      "It can encode: samples and changes of given images."
      if encodes
      else "No encoder: samples, but no changes of given images."
    ),
    "Next, each with the same --run_dir:",
  ]
  if run.dataset and not encodes:
    lines.append("  python -m trainers.classifier  reads labels from samples")
  lines.append("  python -m trainers.latents     needed by all that follows")
  if not run.dataset and not encodes:
    lines.append("      --seed_labels=TABLE        what is seen in its samples")
  if run.dataset:
    lines.append(
      "  python -m trainers.attributes  and then trainers.flow and "
      f"trainers.actor: {', '.join(run.attributes.names)}"
    )
  lines.append("  python -m trainers.constraint  new constraints, from rules")
  if not encodes and model.plot is None:
    lines.append("  python -m trainers.encoder     to change given images, too")
  lines.append(
    "It can be exported and served."
    if model.exportable
    else "It cannot be exported: it runs outside of TensorFlow."
  )
  if not model.differentiable:
    lines.append("No gradients get through it, and none are needed.")
  return lines


def main() -> None:
  """Runs the job as a program."""
  program.main(define_flags, run_job)


if __name__ == "__main__":
  main()
