"""The jobs: python -m trainers.<job> --flagfile=configs/<data>/<job>.cfg."""

# First of all: it sets what TensorFlow reads when it loads, and a job may well
# import TensorFlow before anything of ours.
from lc_keras import tensorflow_banners

tensorflow_banners.hold_back()
