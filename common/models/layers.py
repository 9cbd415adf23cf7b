"""Layers that Keras 3 does not have."""

import keras
import numpy as np

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    tf = None


@keras.saving.register_keras_serializable(package="rethinking")
class LocalResponseNormalization(keras.layers.Layer):
    """Local response normalization across channels.

    `x_c / (bias + alpha * sum_{|d - c| <= depth_radius} x_d^2) ** beta`
    (Krizhevsky et al. 2012, section 3.3). The sum over neighbouring channels is
    a product with a constant banded matrix, which trains faster than TensorFlow's
    own op and exists on every backend.

    Args:
        depth_radius: Number of channels on either side in the sum.
        bias: Positive offset.
        alpha: Scale of the sum.
        beta: Exponent.

    Input and output: `(batch, height, width, channels)`, any values.
    """

    def __init__(self, depth_radius=4, bias=1.0, alpha=0.001 / 9, beta=0.75, **kwargs):
        super().__init__(**kwargs)
        self.depth_radius = depth_radius
        self.bias = bias
        self.alpha = alpha
        self.beta = beta

    def build(self, input_shape):
        if input_shape[-1] > 8192:
            raise ValueError(
                "Normalization across channels takes their number squared in memory; "
                f"expected at most 8,192. Received: input_shape={input_shape}"
            )
        channel = np.arange(input_shape[-1])
        near = np.abs(channel[:, None] - channel[None]) <= self.depth_radius
        self._neighbours = (self.alpha * near).astype("float32")
        super().build(input_shape)

    def call(self, inputs):
        neighbours = keras.ops.cast(self._neighbours, inputs.dtype)
        scale = self.bias + keras.ops.matmul(keras.ops.square(inputs), neighbours)
        if self.beta == 0.75:  # u ** -0.75 by two square roots: no slow pow
            root = keras.ops.rsqrt(scale)
            return inputs * (root * keras.ops.sqrt(root))
        return inputs * keras.ops.power(scale, -self.beta)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
        }


@keras.saving.register_keras_serializable(package="rethinking")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` of images, by TensorFlow's one op for it.

    The same weights and numbers. On a CPU small Inception trains a third faster with
    it (benchmarks/README.md). Where the op does not exist (other backends, float64) or
    was not measured (a GPU, where XLA fuses Keras's own formula) that is computed.

    Input and output: `(batch, height, width, channels)`, any values.
    """

    def call(self, inputs, training=None, mask=None):
        if not self._is_faster(inputs):
            return super().call(inputs, training=training, mask=mask)
        training = bool(training and self.trainable)
        moving = self.moving_mean, self.moving_variance
        ones = tf.ones_like(moving[0])
        mean, variance = [tf.zeros(0)] * 2 if training else map(tf.identity, moving)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma if self.scale else ones,
            offset=self.beta if self.center else 0 * ones,
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            count = tf.cast(tf.size(inputs) / tf.shape(inputs)[-1], tf.float32)
            variance *= (count - 1) / count  # the op divides by count - 1
            for variable, batch in zip(moving, (mean, variance), strict=True):
                step = (1 - self.momentum) * (batch - variable)
                variable.assign(variable + step)
        return outputs

    def _is_faster(self, inputs):
        return (
            tf is not None
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and inputs.dtype != tf.float64
            and not tf.config.list_logical_devices("GPU")
        )


@keras.saving.register_keras_serializable(package="rethinking")
class ShiftedReLU(keras.layers.Layer):
    """ReLU units of one input z at thresholds of their own: `max(z - b_j, 0)`.

    The hidden units of Theorem 1 (Zhang et al. 2017), which share the weights before
    them: a unit has one weight, its threshold, where a dense layer would give it two.

    Args:
        units: Number of thresholds.

    Input `(batch, 1)`, output `(batch, units)`, any values.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        shape = (self.units,)
        self.thresholds = self.add_weight(shape, "zeros", name="thresholds")
        super().build(input_shape)

    def call(self, inputs):
        return keras.ops.relu(inputs - self.thresholds)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="rethinking")
class SummedEmbedding(keras.layers.Embedding):
    """`keras.layers.Embedding` with one gradient for a word, however often it occurs.

    On TensorFlow Keras hands the optimizer a slice for each occurrence instead. Adam,
    RMSprop and Adagrad square the slices before they add them, and are then other
    rules than they say. The outputs are the same numbers.

    Input: `(batch, length)` integers below `input_dim`. Output: `(batch, length,
    output_dim)`.
    """

    def call(self, inputs):
        if tf is None:
            return super().call(inputs)
        inputs = keras.ops.cast(inputs, "int32")
        outputs = tf.gather(_summed(tf.convert_to_tensor(self.embeddings)), inputs)
        return keras.ops.cast(outputs, self.compute_dtype)


@keras.saving.register_keras_serializable(package="rethinking")
class IsWord(keras.layers.Layer):
    """Tells words from padding: a mask to hand to the layers that take one.

    What `Embedding(mask_zero=True)` hands on by itself is an operation that Keras
    cannot read back from an `.h5`.

    Input: `(batch, length)` integers, 0 at padding. Output: booleans of that shape.
    """

    def call(self, inputs):
        return keras.ops.not_equal(inputs, 0)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, "bool")


@keras.saving.register_keras_serializable(package="rethinking")
class ClearPadding(keras.layers.Layer):
    """Sets a sequence to zero where it is padding.

    Input: a list of `(batch, length, units)`, any values, and the mask of `IsWord`.
    Output: `(batch, length, units)`.
    """

    def call(self, inputs):
        x, mask = inputs
        return x * keras.ops.cast(mask, x.dtype)[..., None]

    def compute_output_shape(self, input_shape):
        return input_shape[0]


@keras.saving.register_keras_serializable(package="rethinking")
class AddPositions(keras.layers.Layer):
    """Adds a learnt vector for its position to every element of a sequence.

    Input and output: `(batch, length, units)`, any values.
    """

    def build(self, input_shape):
        self.positions = self.add_weight(input_shape[1:], "uniform", name="positions")
        super().build(input_shape)

    def call(self, inputs):
        return inputs + keras.ops.cast(self.positions, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


def _summed(table):
    """The same table, whose gradient is one array: slices of one row are added."""
    identity = tf.custom_gradient(lambda x: (tf.identity(x), tf.convert_to_tensor))
    return identity(table)


def l2(weight_decay):
    """Returns the penalty `weight_decay / 2 * ||kernel||^2`, or None for 0."""
    return keras.regularizers.L2(weight_decay / 2) if weight_decay else None


def logits(num_classes, weight_decay=0.0):
    """Returns the last layer of every classifier: float32 logits, no softmax.

    float32 under any precision, because cross-entropies near zero are the
    subject of the experiment.
    """
    return keras.layers.Dense(
        num_classes,
        kernel_regularizer=l2(weight_decay),
        dtype="float32",
        name="logits",
    )
