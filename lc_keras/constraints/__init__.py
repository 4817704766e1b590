"""Attributes, constraints, requests and their language, and rules."""
