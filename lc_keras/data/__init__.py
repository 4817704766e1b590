"""What goes in: data sets, the pipeline, and encoded data."""
