"""Cartoon faces with the attributes of CelebA, made without a network."""
