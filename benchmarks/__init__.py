"""Programs that measure speed, against an alternative where there is one.

Each writes results/<name>.json and a picture, and lets all sides work in turn:
on a machine that does other things, only ratios of neighbours mean something.
"""

import lc_keras as lc_keras  # First: it sets what TensorFlow reads on loading.
