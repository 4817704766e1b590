"""Data sets by name or in memory, batches of them, and encoded data."""

# Name of a data set -> the module whose `load()` returns its `stored.Dataset`;
# what follows a slash in the name is handed to `load`. The module is imported
# when the data set is used. See docs/extending.md.
DATASETS = {
  "toon_faces/studio": "lc_keras.data.toon_faces.dataset",
  "toon_faces/wild": "lc_keras.data.toon_faces.dataset",
  "toon_faces/tiny": "lc_keras.data.toon_faces.dataset",
  "celeb_a": "lc_keras.data.celeb_a",
  "fashion_mnist": "lc_keras.data.fashion_mnist",
}
