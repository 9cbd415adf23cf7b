"""Hessian of the loss at a trained network, as a linear operator.

`Hessian(model, x, y)` is a SciPy linear operator: it multiplies vectors by the
second derivative of the mean loss and never forms the matrix; `spectrum` takes its
eigenvalues, trace and density. BatchNormalization is in inference mode, dropout is
off and weight-decay terms are left out: it is the curvature of the data's loss at
the function that predicts, not of the objective that was minimized.
"""

import keras
import numpy as np
import scipy.sparse.linalg
from tqdm import tqdm

from common.models import leaves
from common.models.losses import cross_entropy

if keras.backend.backend() == "tensorflow":  # the scripts refuse the others
    import tensorflow as tf


class Hessian(scipy.sparse.linalg.LinearOperator):
    """Hessian of the mean loss in the trainable weights, as a linear operator.

    `hessian @ vector` sums reverse-over-reverse products over batches and divides
    by the number of examples, so the batch size changes memory and speed, never
    the result. The variables are flattened in the order of `trainable_variables`.
    Wide networks without pooling keep the gradient's graph from product to product:
    1.4 times faster on MLP 1x512, while AlexNet, whose pooling then loses oneDNN's
    kernels, is faster recomputed, as are small networks. So the weights must not
    change while the operator is in use; after they have, call `move`.

    Args:
        model: Keras model on the TensorFlow backend, in one dtype (float32 or
            float64), whose outputs are logits.
        x: `(n, ...)` inputs as the model takes them; cast to its dtype.
        y: `(n,)` integer labels, or what `loss` takes.
        loss: Callable `(y, outputs) -> (n,)` in TensorFlow or Keras ops:
            `cross_entropy`, `squared_error` (`models.losses`) or another.
        layer: Name of the one layer whose block of the Hessian is meant; `None`
            for all trainable weights.
        batch_size: Examples per pass; `None` for what takes about a gigabyte.
        progress: Whether a tqdm bar counts the products.

    Attributes:
        num_products: Products computed so far.
    """

    def __init__(
        self,
        model,
        x,
        y,
        loss=cross_entropy,
        layer=None,
        batch_size=None,
        progress=False,
    ):
        named = {leaf.name: leaf for leaf in leaves(model)}
        if layer not in (None, *named):
            raise ValueError(f"No layer {layer!r}; there are {', '.join(named)}.")
        source = model if layer is None else named[layer]
        self._variables = [variable.value for variable in source.trainable_variables]
        if not self._variables:
            raise ValueError(f"{source.name!r} has no trainable weights.")
        dtype = dtype_of(model)
        self._sizes = [int(np.prod(v.shape)) for v in self._variables]
        super().__init__(np.dtype(dtype), (sum(self._sizes), sum(self._sizes)))
        self._activations = _activations(model)
        self._pooling = any("Pool" in type(leaf).__name__ for leaf in named.values())
        # A product holds some ten copies of its batch's activations. On two cores 500
        # AlexNet images a time, or 2,000 for an MLP, do well.
        self._batch_size = batch_size or int(
            np.clip(50e6 // self._activations, 16, 2000)
        )
        self.move(x, y)
        self._compile(model, loss)
        self._bar = tqdm(desc="Hessian products", unit="", disable=not progress or None)

    def move(self, x, y):
        """Switches to other examples and the current weights, without retracing.

        Args:
            x: As in the constructor, of the same shape but for the number of examples.
            y: As in the constructor.

        Raises:
            ValueError: If there are no examples, or not as many labels.
        """
        if not len(x) or len(x) != len(y):
            raise ValueError(
                "`x` and `y` must hold the same number of examples, at least one. "
                f"Received: len(x)={len(x)}, len(y)={len(y)}"
            )
        self._batches = [
            (tf.cast(x[i : i + self._batch_size], self.dtype), tf.constant(part))
            for i in range(0, len(x), self._batch_size)
            for part in [y[i : i + self._batch_size]]
        ]
        self._num_examples = len(x)
        # A kept graph holds four copies of all activations, and takes a few
        # milliseconds to go through again: more than it saves where products are small.
        fits = len(x) * self._activations <= 100e6
        large = len(x) * self.shape[0] >= 200e6
        self._keep = fits and large and not self._pooling
        self._tapes, self.num_products = None, 0

    def _compile(self, model, loss):
        """Compiles the gradient g of a batch's summed loss, and d(g . v) / dw."""

        def gradient(x, y):
            with tf.GradientTape() as tape:
                outputs = model(tf.stop_gradient(x), training=False)
                value = tf.reduce_sum(loss(y, outputs))
            inner = tape.gradient(value, self._variables, unconnected_gradients="zero")
            # Dense, also where the gradient of an embedding is sparse.
            return value, [tf.convert_to_tensor(g) for g in inner]

        def flat_gradient(x, y):
            value, inner = gradient(x, y)
            return value, _flat(inner)

        def product(x, y, vector):
            # TensorFlow prunes the products of the inner pass that only the
            # gradient's value would need: 1.5 gradients on an MLP, not 2.
            with tf.GradientTape() as tape:
                _, inner = gradient(x, y)
            outer = tape.gradient(
                inner,
                self._variables,
                output_gradients=self._split(vector),
                unconnected_gradients="zero",
            )
            return _flat(outer)

        x, y = (tf.TensorSpec([None, *a.shape[1:]], a.dtype) for a in self._batches[0])
        vector = tf.TensorSpec(self.shape[:1], self.dtype)
        # No XLA: oneDNN is faster on a CPU, convolutions above all.
        self._product = tf.function(product, [x, y, vector], autograph=False)
        self._gradient = tf.function(flat_gradient, [x, y], autograph=False)

    def _split(self, vector):
        parts = tf.split(vector, self._sizes)
        return [
            tf.reshape(p, v.shape) for p, v in zip(parts, self._variables, strict=True)
        ]

    def _matvec(self, vector):
        vector = tf.constant(np.ravel(vector), self.dtype)
        if self._keep:
            self._tapes = self._tapes or [self._record(x, y) for x, y in self._batches]
            parts = [self._replay(*kept, vector) for kept in self._tapes]
        else:
            parts = [self._product(x, y, vector) for x, y in self._batches]
        self.num_products += 1
        self._bar.update()
        return tf.add_n(parts).numpy() / self.dtype.type(self._num_examples)

    def _record(self, x, y):
        # Outside a tf.function, so that its compiled gradient can be called again.
        with tf.GradientTape(persistent=True) as tape:
            _, gradient = self._gradient(x, y)
        return tape, gradient

    def _replay(self, tape, gradient, vector):
        outer = tape.gradient(
            gradient,
            self._variables,
            output_gradients=vector,
            unconnected_gradients="zero",
        )
        return _flat(outer)

    def _adjoint(self):
        return self

    def loss_and_gradient(self, offset=None):
        """Mean loss and its gradient, with the weights moved by `offset`.

        Args:
            offset: `(num_weights,)` added to the weights for this call only; zero
                where `None`.

        Returns:
            `(loss, gradient)`: a float, and a `(num_weights,)` array.
        """
        kept = [v.numpy() for v in self._variables]
        try:
            if offset is not None:
                for v, step in zip(
                    self._variables,
                    self._split(tf.cast(offset, self.dtype)),
                    strict=True,
                ):
                    v.assign_add(step)
            values, gradients = zip(
                *(self._gradient(x, y) for x, y in self._batches), strict=True
            )
            loss = float(tf.add_n(values)) / self._num_examples
            return loss, tf.add_n(gradients).numpy() / self.dtype.type(
                self._num_examples
            )
        finally:
            for v, value in zip(self._variables, kept, strict=True):
                v.assign(value)

    def weights(self):
        """The `(num_weights,)` weights themselves, in the operator's order."""
        return _flat(self._variables).numpy()


def _flat(tensors):
    return tf.concat([tf.reshape(t, [-1]) for t in tensors], axis=0)


def _activations(model):
    """Number of activations that the model computes for one example."""
    outputs = [t for leaf in leaves(model) for t in tf.nest.flatten(leaf.output)]
    return sum(int(np.prod([n or 1 for n in t.shape[1:]])) for t in outputs)


def dtype_of(model):
    """Returns the name of the dtype that a model computes in, `float32` or `float64`.

    Raises:
        ValueError: If it computes in half precision.
    """
    used = {leaf.compute_dtype for leaf in leaves(model)}
    if used & {"float16", "bfloat16"}:
        raise ValueError(
            "Derivatives are taken in float32 or float64 only. Received a model that "
            f"computes in {sorted(used)}: rebuild it in float32 and load its weights."
        )
    return keras.backend.standardize_dtype(model.trainable_variables[0].dtype)
