"""Data sets, and the one way in which their examples reach a model."""
