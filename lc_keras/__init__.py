"""Latent constraints for any frozen generative model.

After Engel, Hoffman and Roberts, "Latent Constraints: Learning to Generate
Conditionally from Unconditional Generative Models", ICLR 2018,
https://arxiv.org/abs/1711.05772.

This module lists the public names. The first use of a name imports its module,
and with it TensorFlow.
"""

import importlib
import os

# TensorFlow reads these when it loads, so they are set here, before any module
# of ours imports it. oneDNN is off by default on many CPUs although a training
# step is up to 1.9 times faster with it (docs/results/performance.md).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from lc_keras import tensorflow_banners  # noqa: E402
from lc_keras.version import __version__ as __version__  # noqa: E402

tensorflow_banners.hold_back()

# Public names, and where they are defined: "module:name", or a whole module.
_PUBLIC = {
  # Entry points.
  "Generator": "generators.generator:Generator",
  "LatentConstraints": "control:LatentConstraints",
  "ControlledImages": "controlled_images:ControlledImages",
  "load": "control:load",
  "presets": "preset:presets",
  # Requests.
  "Attributes": "constraints.attributes:Attributes",
  "Constraint": "constraints.constraint:Constraint",
  "Expression": "constraints.expressions:Expression",
  "Has": "constraints.expressions:Has",
  "Request": "constraints.requests:Request",
  "parse": "constraints.requests:parse",
  # Constraints learned from rules and labels.
  "Rule": "constraints.rule:Rule",
  "Labels": "learning.labels:Labels",
  # Settings of all trainings.
  "recipes": "recipes",
  # Models of images, and of latents.
  "VAE": "models.vae:VAE",
  "RefinedVAE": "models.refined_vae:RefinedVAE",
  "GAN": "models.gan:GAN",
  "ConditionalVAE": "models.conditional_vae:ConditionalVAE",
  "ConditionalGAN": "models.conditional_gan:ConditionalGAN",
  "PixelClassifier": "models.pixel_classifier:PixelClassifier",
  "AttributeModel": "models.attribute_model:AttributeModel",
  "RealismModel": "models.realism_model:RealismModel",
  "ActorCritic": "models.actor_critic:ActorCritic",
  "FlowMatching": "models.flow_matching:FlowMatching",
  "LinearDirections": "models.linear_directions:LinearDirections",
  # Data.
  "Latents": "data.latents:Latents",
  "source": "data.arrays:source",
  # Samplers.
  "SAMPLERS": "samplers.table:SAMPLERS",
  "Judges": "samplers.sampler:Judges",
  "ActorSampler": "samplers.actor:ActorSampler",
  "BestOfN": "samplers.rejection:BestOfN",
  "EnergySampler": "samplers.energy:EnergySampler",
  "FlowSampler": "samplers.flow:FlowSampler",
  "GradientSearch": "samplers.gradient_search:GradientSearch",
  "ImportanceResampling": "samplers.importance:ImportanceResampling",
  "LinearDirection": "samplers.linear:LinearDirection",
  # Trade-off between an edit and what it preserves.
  "kept_curve": "evaluation.kept:curve",
  # Pictures.
  "plotting": "plotting",
}


def __getattr__(name: str):
  if name not in _PUBLIC:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  module, _, attribute = _PUBLIC[name].partition(":")
  loaded = importlib.import_module(f"{__name__}.{module}")
  value = getattr(loaded, attribute) if attribute else loaded
  globals()[name] = value
  return value


def __dir__():
  return sorted([*_PUBLIC, "__version__"])
