"""The same tasks in PyTorch, run by the Python of .venv-torch."""
