"""An embedded TensorFlow Serving: `python -m serving.server`."""
