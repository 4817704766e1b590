"""A learned flow from noise to latents, integrated in either direction."""

from collections.abc import Callable

import tensorflow as tf

from lc_keras.models import flow_matching
from lc_keras.samplers import sampler

# Maps points [batch, n] and a scalar angle to velocities [batch, n].
Field = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

_STEPS = 8
# Samples of studio faces then have the weighted F1 of reconstructions (0.983)
# at a FID of 43 (reconstructions: 27); at 1.5 the two are 0.978 and 40, at 2
# they are 0.986 and 53.
_GUIDANCE = 1.75
# An edit starts from an image, and needs less. Studio faces, 64 rows a
# direction: at 1.25, 97.4% of edits succeed and 6.1% change other attributes;
# at 1.5, 98.9% and 7.5%; at 1.75, 99.0% and 9.0%.
EDIT_GUIDANCE = 1.5


class FlowSampler(sampler.Transformer):
  """Samples q(z | y) with classifier-free guidance; edits by inversion.

  `sample` is `transport` of prior draws.

  `edit` integrates v(own), own being the attributes as read, back to noise, and
  v(own) + guidance * (v(new) - v(own)) forward. The noise is kept, and with it
  all that the attributes do not describe. Rows without a change are not moved.

  Of a constraint, only values and mask matter, not its weights or realism.

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
  >>> flow = lc_keras.FlowMatching(3, num_attributes=2, width=16, depth=1)
  >>> made = lc_keras.FlowSampler(judges, flow).sample(rows, seeds)
  >>> made.steps.numpy()
  array([16, 16, 16, 16], dtype=int32)
  """

  def __init__(
    self,
    judges: sampler.Judges,
    flow: flow_matching.FlowMatching,
    *,
    steps: int = _STEPS,
    guidance: tf.Tensor | float = _GUIDANCE,
    edit_guidance: tf.Tensor | float = EDIT_GUIDANCE,
  ):
    """Creates the sampler.

    Args:
      judges: The critics.
      flow: A trained flow.
      steps: Steps of the integration, each way; two evaluations each.
      guidance: Guidance of `sample`, a scalar. 1 is the learned distribution;
        more meets requests better, with less diversity.
      edit_guidance: Guidance of `edit`. More meets requests better and keeps
        less.
    """
    super().__init__(judges)
    self._flow = flow
    self._steps = steps
    self._guidance = guidance
    self._edit_guidance = edit_guidance

  def sample(self, constraint, seeds):
    """See base class. `distance` is that from the prior draw."""
    prior = self._prior(seeds)
    latents = transport(
      self._flow,
      prior,
      constraint.values,
      constraint.mask,
      steps=self._steps,
      guidance=self._guidance,
    )
    return self._result(latents, constraint, 2 * self._steps, prior)

  def edit(self, latents, edit, seeds):
    """See base class. Deterministic: the seeds do not matter."""
    own = edit.start_attributes
    back = conditioned(self._flow, own, tf.ones_like(own))
    forth = guided(
      back,
      conditioned(self._flow, edit.shown.values, edit.shown.mask),
      self._edit_guidance,
    )
    end = flow_matching.LATENT_ANGLE
    points = self._flow.whitening(latents)
    points = integrate(back, points, end, 0.0, self._steps)
    points = integrate(forth, points, 0.0, end, self._steps)
    moved = self._flow.whitening.undo(points)
    changed = tf.reduce_any(own != edit.shown.values, axis=-1)
    return self._result(
      tf.where(changed[:, tf.newaxis], moved, latents),
      edit.shown,
      tf.where(changed, 4 * self._steps, 0),
      latents,
    )


def transport(
  flow: flow_matching.FlowMatching,
  prior: tf.Tensor,
  values: tf.Tensor,
  mask: tf.Tensor,
  *,
  steps: int = _STEPS,
  guidance: tf.Tensor | float = _GUIDANCE,
) -> tf.Tensor:
  """Maps prior samples to latents that match a request.

  Follows v(open) + guidance * (v(asked) - v(open)), see Ho and Salimans,
  "Classifier-Free Diffusion Guidance" (https://arxiv.org/abs/2207.12598).

  Args:
    flow: A trained flow.
    prior: [batch, latent_size], draws of p(z).
    values: [batch, num_attributes] in [0, 1], the targets.
    mask: [batch, num_attributes] in {0, 1}, 0 leaves an attribute open.
    steps: Steps of the integration; two evaluations each.
    guidance: See `FlowSampler`.

  Returns:
    [batch, latent_size].
  """
  field = guided(
    conditioned(flow, values, tf.zeros_like(mask)),
    conditioned(flow, values, mask),
    guidance,
  )
  noise = flow.whitening.noise(prior)
  points = integrate(field, noise, 0.0, flow_matching.LATENT_ANGLE, steps)
  return flow.whitening.undo(points)


def conditioned(
  flow: flow_matching.FlowMatching, values: tf.Tensor, mask: tf.Tensor
) -> Field:
  """Returns the velocity field of a flow under a request."""

  def field(points, angle):
    angles = tf.fill(tf.shape(points)[:1], angle)
    return flow(points, angles, values, mask)

  return field


def guided(
  reference: Field, asked: Field, guidance: tf.Tensor | float
) -> Field:
  """Returns reference + guidance * (asked - reference)."""

  def field(points, angle):
    velocity = reference(points, angle)
    return velocity + guidance * (asked(points, angle) - velocity)

  return field


def integrate(
  field: Field,
  points: tf.Tensor,
  start: tf.Tensor | float,
  end: tf.Tensor | float,
  steps: int,
) -> tf.Tensor:
  """Integrates a field from one angle to another by Heun's method.

  Args:
    field: Velocities per unit of angle.
    points: [batch, n], the start.
    start: The angle at the start, a scalar.
    end: The angle to stop at, a scalar; may be the smaller one.
    steps: Steps of equal size, of two evaluations each.

  Returns:
    [batch, n]; the error falls with the square of the size of a step.
  """
  size = tf.convert_to_tensor((end - start) / steps)

  def advance(step, points):
    angle = start + size * tf.cast(step, tf.float32)
    first = field(points, angle)
    second = field(points + size * first, angle + size)
    return step + 1, points + 0.5 * size * (first + second)

  _, points = tf.while_loop(
    lambda step, points: step < steps, advance, [tf.constant(0), points]
  )
  return points
