"""How what is asked for is reached, one sampler a file. Import what you use."""
