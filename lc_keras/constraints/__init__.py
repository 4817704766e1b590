"""What can be asked for, as one object that drives every sampler."""
