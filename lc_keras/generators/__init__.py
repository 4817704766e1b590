"""Frozen generative models, wrapped from any kind of model."""
