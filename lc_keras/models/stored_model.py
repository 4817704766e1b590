"""The base class of our models: known arguments, reported means."""

import inspect
from collections.abc import Sequence

import keras
import tensorflow as tf


class StoredModel(keras.Model):
  """A Keras model that `storage` can save and rebuild.

  Subclasses name the quantities that their steps report in `REPORTS`, and
  update their means with `_report`.

  Attributes:
    arguments: The arguments of the constructor by name, defaults included; in
      the form that JSON gives back.
    made_for: Fingerprint of the generator that it was learned for; None if
      unknown.
  """

  REPORTS: tuple[str, ...] = ()

  def __new__(cls, *args, **kwargs):
    model = super().__new__(cls, *args, **kwargs)
    given = inspect.signature(cls.__init__).bind(model, *args, **kwargs)
    given.apply_defaults()
    _, *arguments = given.arguments.items()
    # Keras takes no attributes before its constructor has run.
    object.__setattr__(
      model,
      "arguments",
      {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in arguments
        if name != "kwargs"
      },
    )
    object.__setattr__(model, "made_for", None)
    return model

  def __init__(self, **kwargs):
    """Creates the means of the reported quantities.

    Args:
      **kwargs: For `keras.Model`.
    """
    # Layers may compute in lower precision, see `training.precision`.
    super().__init__(dtype="float32", **kwargs)
    self._means = {name: keras.metrics.Mean(name) for name in self.REPORTS}

  def compile(
    self,
    optimizer: keras.optimizers.Optimizer,
    *,
    variables: Sequence[keras.Variable] | None = None,
    jit_compile: bool = False,
    **kwargs,
  ):
    """Sets the optimiser, and builds it, which a step on two replicas cannot.

    Args:
      optimizer: For the trainable variables.
      variables: Variables that it updates; None is all trainable ones.
      jit_compile: Whether XLA compiles steps: it is slower on a CPU, and fails
        on two replicas.
      **kwargs: For `keras.Model.compile`.
    """
    super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
    optimizer.build(
      self.trainable_variables if variables is None else variables
    )

  @property
  def metrics(self) -> list[keras.metrics.Metric]:
    """The means that a step returns, in the order of `REPORTS`."""
    return list(self._means.values())

  def _report(self, **quantities: tf.Tensor) -> dict[str, tf.Tensor]:
    """Updates means, and returns all of them, as steps must.

    Args:
      **quantities: Values by name, of any shape, such as [batch]; or pairs of
        values and their weights.
    """
    for name, values in quantities.items():
      values = values if isinstance(values, tuple) else (values,)
      self._means[name].update_state(*values)
    return {name: mean.result() for name, mean in self._means.items()}

  def _report_readings(
    self, loss: tf.Tensor, logits: tf.Tensor, attributes: tf.Tensor
  ) -> dict[str, tf.Tensor]:
    """Reports "loss" [batch], and the "accuracy" of logits of known labels."""
    right = (logits > 0.0) == (attributes > 0.5)
    known = ~tf.math.is_nan(attributes)
    return self._report(loss=loss, accuracy=(right, known))
