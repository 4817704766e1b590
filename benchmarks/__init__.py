"""Programs that measure speed, compared with a peer where there is one.

Each writes results/<name>.json and a picture. The programs that it compares run
in turn: on a busy machine, only ratios of successive measurements are
meaningful.
"""

import lc_keras as lc_keras  # First: sets variables that TensorFlow reads.
