"""Data sets by name or in memory, batches of them, and encoded data."""

# Name of a data set -> the module whose `load()` returns its `stored.Dataset`.
# The part of a name after a slash is passed to `load`, and so are options, see
# `names`. A kind of data sets ends with a colon: its `load` gets the rest of
# the name, and `data_dir`. Modules are imported on use. See docs/extending.md.
DATASETS = {
  "toon_faces/studio": "lc_keras.data.toon_faces.builder",
  "toon_faces/wild": "lc_keras.data.toon_faces.builder",
  "toon_faces/tiny": "lc_keras.data.toon_faces.builder",
  "celeb_a": "lc_keras.data.celeb_a",
  "fashion_mnist": "lc_keras.data.fashion_mnist",
  "images:": "lc_keras.data.image_folder",
  "tfds:": "lc_keras.data.tfds_sets",
  "tf_examples:": "lc_keras.data.tf_examples",
}
