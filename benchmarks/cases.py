"""The networks whose speed is compared, on images of 64x64x3."""

_CASES = {
  "medium": {"architecture": "conv_medium", "latent_size": 256, "batch": 128},
  "small": {"architecture": "conv_small", "latent_size": 256, "batch": 128},
  "the demo's": {"architecture": "toon_faces", "latent_size": 256, "batch": 64},
  "CelebA's": {"architecture": "celeb_a", "latent_size": 1024, "batch": 4},
}
NAMES = tuple(_CASES)


def step(name: str) -> dict:
  """Returns what `vae_tasks` and its peer are to build for a network."""
  return {"image_shape": (64, 64, 3), "work": "step", **_CASES[name]}
