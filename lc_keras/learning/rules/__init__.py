"""What may say of an image whether a constraint holds, besides a function."""
