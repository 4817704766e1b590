"""The version of lc_keras, read as text by setup.py."""

__version__ = "0.1.0"
