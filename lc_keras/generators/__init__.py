"""Generative models that are frozen, and every way to come by one."""
