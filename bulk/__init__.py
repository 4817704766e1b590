"""Jobs on many rows, shard by shard: in one process or on Apache Beam."""

# First: it sets environment variables that TensorFlow reads when it loads.
import lc_keras as lc_keras
