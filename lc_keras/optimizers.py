"""Adam as one operation per variable, for the optimisers of all trainers."""

import keras
import tensorflow as tf


class Adam(keras.optimizers.Adam):
  """`keras.optimizers.Adam` in one pass over each variable and its moments.

  Kingma and Ba, "Adam: A Method for Stochastic Optimization",
  https://arxiv.org/abs/1412.6980, section 2. Same update, state and
  checkpoints; Keras makes a dozen operations of it, each of which reads and
  writes whole arrays (figures in docs/performance.md). Gradients are dense.
  """

  def update_step(self, gradient, variable, learning_rate):
    """See base class."""
    if self.amsgrad:
      super().update_step(gradient, variable, learning_rate)
      return
    dtype = variable.dtype
    index = self._get_variable_index(variable)
    step = tf.cast(self.iterations.value + 1, dtype)
    beta_1, beta_2 = (
      tf.constant(beta, dtype) for beta in (self.beta_1, self.beta_2)
    )
    tf.raw_ops.ResourceApplyAdam(
      var=variable.handle,
      m=self._momentums[index].value.handle,
      v=self._velocities[index].value.handle,
      beta1_power=tf.pow(beta_1, step),
      beta2_power=tf.pow(beta_2, step),
      lr=tf.cast(learning_rate, dtype),
      beta1=beta_1,
      beta2=beta_2,
      epsilon=tf.constant(self.epsilon, dtype),
      grad=tf.cast(gradient, dtype),
    )
