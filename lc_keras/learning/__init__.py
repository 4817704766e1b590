"""Constraints learned afterwards, from a rule or from a few labels."""
