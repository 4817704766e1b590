"""How fast it is, measured against something that one could use instead.

Each benchmark is a program, writes results/<name>.json and a picture, and takes
what it compares in turn: on a machine that does other things, only ratios of
neighbours mean something.
"""

# First of all: it sets what TensorFlow reads when it loads.
import lc_keras as lc_keras
