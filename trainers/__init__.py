"""The jobs: python -m trainers.<job> --flagfile=configs/<data>/<job>.cfg."""

# First: lc_keras sets environment variables that TensorFlow reads when it
# loads, and a job may import TensorFlow before lc_keras.
import lc_keras  # noqa: F401
