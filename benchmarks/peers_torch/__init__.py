"""The same work in PyTorch, run by a Python of its own (.venv-torch)."""
