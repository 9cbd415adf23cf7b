"""Keras's optimizers, with a weight's whole update as one operation where there is one.

Keras computes an update by array operations, each of which reads and writes the whole
weight: for the MLPs, whose steps are short, a sixth of the time. TensorFlow has the
same formulas as single operations. The optimizers are Keras's own in all else.
"""

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    tf = None


def optimizer(name, config):
    """Returns a Keras optimizer.

    Args:
        name: As `keras.optimizers.get` takes it.
        config: Dict of its arguments: `learning_rate`, `momentum`,
            `gradient_accumulation_steps`.
    """
    if tf is not None and name in _FUSED:
        return _FUSED[name](**config)
    return keras.optimizers.get({"class_name": name, "config": config})


class SGD(keras.optimizers.SGD):
    """m <- momentum * m - rate * gradient; w <- w + m (without Nesterov's term)."""

    def update_step(self, gradient, variable, learning_rate):
        weight, gradient, rate = _handles(variable, gradient, learning_rate)
        if not self.momentum:
            tf.raw_ops.ResourceApplyGradientDescent(
                var=weight, alpha=rate, delta=gradient
            )
            return
        m = self.momentums[self._get_variable_index(variable)]
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=weight,
            accum=m.value.handle,
            lr=rate,
            grad=gradient,
            momentum=tf.cast(self.momentum, variable.dtype),
        )


class Adam(keras.optimizers.Adam):
    """m <- m + (1 - b1) (gradient - m); v <- v + (1 - b2) (gradient^2 - v);
    w <- w - rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon)."""

    def update_step(self, gradient, variable, learning_rate):
        weight, gradient, rate = _handles(variable, gradient, learning_rate)
        index, dtype = self._get_variable_index(variable), variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        beta_1, beta_2 = (tf.cast(beta, dtype) for beta in (self.beta_1, self.beta_2))
        tf.raw_ops.ResourceApplyAdam(
            var=weight,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=gradient,
        )


_FUSED = {"sgd": SGD, "adam": Adam}


def _handles(variable, gradient, learning_rate):
    """(the weight's handle, gradient, rate), the latter two in the weight's dtype."""
    # Keras hands over TensorFlow's own variable, or one of its own.
    weight = variable.value if isinstance(variable, keras.Variable) else variable
    gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
    return weight.handle, gradient, tf.cast(learning_rate, variable.dtype)
