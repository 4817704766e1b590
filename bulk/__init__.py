"""Work on many rows, shard by shard: here, or on Apache Beam."""

# First of all: it sets what TensorFlow reads when it loads.
import lc_keras as lc_keras
