"""The jobs: python -m trainers.<job> --flagfile=configs/<data>/<job>.cfg."""

# First: it hooks into the import of TensorFlow, and a job may import TensorFlow
# before lc_keras.
from lc_keras import tensorflow_banners

tensorflow_banners.hold_back()
