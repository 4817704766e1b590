"""Energy-based sampling: a gradient flow or a Markov chain on an energy."""

import dataclasses
import math

import tensorflow as tf

from lc_keras.samplers import sampler

# The diffusion's beta(t), linear in t from 0 to 1 (Song et al. 2021; LACE).
_BETA_MIN = 0.1
_BETA_MAX = 20.0
# The integral of beta(t) / 2 over t.
_DURATION = 0.25 * (_BETA_MIN + _BETA_MAX)

_METHODS = ("ode", "langevin")


class EnergySampler(sampler.Transformer):
  """LACE: Nie, Vahdat and Anandkumar (2021), arXiv 2110.10873.

  The energy of a latent vector is -log of p(c|z) p(z), c being the constraint:

      E(z) = attribute cross-entropies, summed, + realism_weight * -log D(z, y)
      U(z) = E(z) + ||z||^2 / 2

  "ode" solves the probability-flow ODE of the variance-preserving diffusion
  from t = 1 to 0. The prior's score cancels its drift, which leaves

      dz/dt = beta(t) / 2 * grad E(z)

  In s, the integral of beta / 2 from t to 1, it is plain gradient flow, dz/ds
  = -grad E, from 0 to 5.025 for any shape of beta; it is solved in equal
  steps of s by Heun's method. (The authors' solver chooses its steps for the
  whole batch at once; fixed ones leave rows independent of each other.)

  "langevin" makes steps of

      z <- z - step_size / 2 * grad U(z) + sqrt(step_size * temperature) * eps

  Edits start at the given latents, and E gains

      keep_weight * the cross-entropies of all other attributes
      + distance_weight * ||z' - z||^2

  (the authors' sequential editing, with cross-entropy for their squared
  difference of logits).

  >>> import tensorflow as tf
  >>> import lc_keras
  >>> attributes = lc_keras.Attributes(["Smiling", "Male"])
  >>> judges = lc_keras.Judges(
  ...   attributes,
  ...   critic=lambda z, values, mask: 3.0 - z[:, 2] ** 2,
  ...   attribute_critic=lambda z: 9.0 * z[:, :2],
  ...   posterior_scale=tf.fill([3], 0.1),
  ... )
  >>> rows = lc_keras.parse("Smiling, not Male", attributes).rows(4)
  >>> seeds = tf.range(4, dtype=tf.int64)
  >>> made = lc_keras.EnergySampler(judges, num_steps=10).sample(rows, seeds)
  >>> tuple(made.latents.shape)
  (4, 3)
  """

  def __init__(
    self,
    judges: sampler.Judges,
    method: str = "ode",
    *,
    num_steps: int = 100,
    step_size: float = 1e-2,
    temperature: float = 1.0,
    keep_weight: float = 1.0,
    distance_weight: float = 0.04,
  ):
    """Creates the sampler.

    Args:
      judges: The critics.
      method: "ode" or "langevin".
      num_steps: Steps of the solver or the chain; 100 in the paper's chains.
      step_size: Step size of "langevin".
      temperature: Temperature of "langevin". 1 samples exp(-U) as the step size
        goes to zero; the paper's scripts use 0.005, nearly gradient descent,
        which edits need to keep other attributes.
      keep_weight: Weight of each attribute that an edit keeps.
      distance_weight: Weight of the squared distance that an edit moves; 0.04
        in the paper's scripts.

    Raises:
      ValueError: The method is unknown.
    """
    super().__init__(judges)
    if method not in _METHODS:
      raise ValueError(
        f"Unknown method {method!r}; known: {', '.join(_METHODS)}."
      )
    self._method = method
    self._num_steps = num_steps
    self._step_size = step_size
    self._temperature = temperature
    self._keep_weight = keep_weight
    self._distance_weight = distance_weight

  def sample(self, constraint, seeds):
    """See base class."""
    start = self._start(seeds)

    def energy(latents):
      return self._energy(latents, constraint, constraint)

    return self._run(energy, start, seeds, constraint)

  def edit(self, latents, edit, seeds):
    """See base class. `converged` covers the attributes that are kept, too."""
    start = latents
    targets = dataclasses.replace(
      edit.others,
      weights=edit.asked.weights + self._keep_weight * edit.others.weights,
    )

    def energy(latents):
      squares = tf.reduce_sum(tf.square(latents - start), axis=-1)
      pull = self._distance_weight * squares
      return self._energy(latents, targets, edit.shown) + pull

    return self._run(energy, start, seeds, edit.shown)

  def _energy(self, latents, targets, shown):
    return self.judges.attribute_energy(
      latents, targets
    ) + self.judges.realism_energy(latents, shown)

  def _run(self, energy, start, seeds, constraint):
    """Runs the method on the energy; evaluates the end under the constraint."""

    def descent(latents):
      with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(latents)
        values = energy(latents)
      return -tape.gradient(values, latents)

    def heun(number, latents):
      step = _DURATION / self._num_steps
      first = descent(latents)
      second = descent(latents + step * first)
      return number + 1, latents + 0.5 * step * (first + second)

    def langevin(number, latents):
      drift = descent(latents) - latents
      noise = self._prior(seeds, number)
      return number + 1, (
        latents
        + 0.5 * self._step_size * drift
        + math.sqrt(self._step_size * self._temperature) * noise
      )

    step, evaluations = {"ode": (heun, 2), "langevin": (langevin, 1)}[
      self._method
    ]
    _, latents = tf.while_loop(
      lambda number, latents: number < self._num_steps,
      step,
      [tf.constant(0), start],
    )
    steps = evaluations * self._num_steps
    return self._result(latents, constraint, steps, start)
