"""Norms of a trained network's weights, and its margins.

Kernels only: biases are left out of every norm, as in the papers. A convolution's
spectral norm is that of the linear map it is, at its input size, not of its reshaped
kernel. BatchNormalization is in inference mode; where it alone reads a dense or
convolution layer without activation, its scale is folded into that layer's kernel
(Neyshabur's and Dziugaite's code do the same), and elsewhere it counts only in
`path_norm`. Local response normalization, pooling and activations count as maps of
norm 1.

The products over layers bound the Lipschitz constant of a chain such as an MLP.
Max-pooling with overlapping windows loosens that, and for a branching network
(Inception) the product over all its kernels is no bound at all: it is a number to
compare between trainings of the same architecture.
"""

import collections
import math

import keras
import numpy as np
import scipy.sparse.linalg

from common.engine import evaluation
from common.models import leaves
from common.models.layers import ShiftedReLU

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
PASSED = (
    keras.layers.Activation,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
    keras.layers.Softmax,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
)


def layer_norms(model, initial=None, fold=True):
    """Norms of every kernel: one dict each, in the order of the layers.

    Args:
        model: Keras model with known input sizes.
        initial: The same architecture with its initial weights, or `None`.
        fold: Whether kernels take in the BatchNormalization that follows them
            (of `initial`: its own). `False` gives the stored weights' norms.

    Returns:
        List of dicts: `layer`; `shape`; `operator`, whether `spectral` is that of
        the layer's linear map (dense, ungrouped convolutions) rather than of the
        kernel reshaped to two axes; `frobenius`; `spectral`; `l1`, the sum of
        absolute values; `stored`, the Frobenius norm of the kernel without what is
        folded in; `group`, the sum over output units of the norm of their
        incoming weights, every position of a convolution counted. With `initial`
        also `distance` (Frobenius), `stored_distance` and `group_distance`, of the
        difference to it.
    """
    now = _kernels(model, fold)
    before = _kernels(initial, fold) if initial is not None else [None] * len(now)
    shapes, others = ([k[2].shape for k in ks if k] for ks in (now, before))
    if initial is not None and shapes != others:
        raise ValueError(
            "`initial` must be the same architecture. "
            f"Received kernels of shapes {others}; the model's are {shapes}."
        )
    rows = []
    plain = _kernels(model, False)
    first = _kernels(initial, False) if initial is not None else before
    for (name, layer, kernel), start, stored, stored_start in zip(
        now, before, plain, first, strict=True
    ):
        row = {
            "layer": name,
            "shape": kernel.shape,
            "operator": _is_convolution(layer) or isinstance(layer, keras.layers.Dense),
            "frobenius": float(np.linalg.norm(kernel)),
            "spectral": spectral_norm(layer, kernel),
            "l1": float(np.abs(kernel).sum()),
            "stored": float(np.linalg.norm(stored[2])),
            "group": _group_norm(layer, kernel),
        }
        if start is not None:
            row["distance"] = float(np.linalg.norm(kernel - start[2]))
            row["stored_distance"] = float(np.linalg.norm(stored[2] - stored_start[2]))
            row["group_distance"] = _group_norm(layer, kernel - start[2])
        rows.append(row)
    return rows


def total_norms(rows):
    """Norms of the whole network, from `layer_norms`.

    Returns:
        Dict: `frobenius`, `distance`, `stored` and `stored_distance` (root of the sum
        of squares), `l1` (sum),
        `log10_product_frobenius`, `log10_product_spectral`. Logarithms, because a
        product over many layers overflows.
    """
    total = {
        "frobenius": math.hypot(*(row["frobenius"] for row in rows)),
        "stored": math.hypot(*(row["stored"] for row in rows)),
        "l1": sum(row["l1"] for row in rows),
        "log10_product_frobenius": log10_product(r["frobenius"] for r in rows),
        "log10_product_spectral": log10_product(r["spectral"] for r in rows),
    }
    if all("distance" in row for row in rows):
        for key in ("distance", "stored_distance"):
            total[key] = math.hypot(*(row[key] for row in rows))
    return total


def spectral_norm(layer, kernel=None):
    """Largest singular value of the linear map a layer's kernel makes.

    Dense: of the kernel. Convolution: of the map between whole images at the
    layer's input size, with its strides, padding and dilation, by ARPACK on the
    convolution and its transpose (no circular approximation). Anything else: of the
    kernel reshaped to `(everything else, last axis)`.

    Args:
        layer: Built Keras layer; a convolution must know its input size.
        kernel: Array to use in place of the layer's own kernel, same shape.

    Returns:
        Float.
    """
    kernel = to_numpy(layer.kernel) if kernel is None else np.asarray(kernel)
    if not _is_convolution(layer) or not kernel.any():  # ARPACK refuses zeros
        return float(np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2))
    operator = _convolution(layer, kernel)
    if min(operator.shape) < 16:  # ARPACK needs room
        return float(np.linalg.norm(operator @ np.eye(operator.shape[1]), 2))
    start = np.random.default_rng(0).standard_normal(min(operator.shape))
    start = start.astype(operator.dtype)
    value = scipy.sparse.linalg.svds(
        operator, 1, v0=start, tol=1e-3, return_singular_vectors=False
    )
    return float(value[0])


def path_norm(model, p=2):
    """The p-norm of the products of weights along all paths (Neyshabur et al. 2015).

    `(sum over paths from an input to an output of prod |w|**p) ** (1/p)`, arXiv
    1503.00036; without biases. Computed by sending ones through the network with
    weights `|w|**p` and linear activations, in float64, so branches are exact:
    concatenation keeps their paths, addition sums them. BatchNormalization
    multiplies by its scale; other normalizations pass. Limit: max-pooling keeps, of
    the paths that meet in a window, the largest unit's only; average-pooling
    divides by the window at power 1, whatever `p`.

    Args:
        model: Keras model on float inputs.
        p: 1 or 2; any positive float.

    Returns:
        Float.
    """
    if not keras.backend.is_float_dtype(model.inputs[0].dtype):
        raise ValueError(f"Paths start at float inputs. {model.name} takes integers.")
    twins = {}

    def twin(layer):
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=twin)
        twins[id(layer)] = _path_layer(layer, p)
        return twins[id(layer)]

    network = keras.models.clone_model(model, clone_function=twin)
    for layer in leaves(model):
        if type(twins.get(id(layer))) is type(layer):
            for mine, weight in zip(
                twins[id(layer)].weights, layer.weights, strict=True
            ):
                value = np.abs(to_numpy(weight).astype(float)) ** p
                mine.assign(value * (weight.name != "bias"))
    ones = np.ones((1, *model.input_shape[1:]))
    return float(to_numpy(network(ones, training=False)).sum() ** (1 / p))


def margins(model, x, y, batch_size=500):
    """Output margins: the logit of the given label minus the largest other one.

    Args:
        model: Keras classifier with `(n, num_classes)` logits.
        x: `(n, ...)` inputs.
        y: `(n,)` integer labels.
        batch_size: Examples per pass.

    Returns:
        `(n,)` float64 array; negative where the prediction is not `y`.
    """
    return margins_of(evaluation.outputs_of(model, x, batch_size), y)


def margins_of(logits, y):
    """The same of `(n, num_classes)` logits that are there."""
    logits = np.array(logits)
    picked = np.arange(len(y)), np.asarray(y)
    given = logits[picked]
    logits[picked] = -np.inf
    return given - logits.max(axis=-1)


def margin_summary(values):
    """Minimum, 10 % quantile and median of `margins`, as a dict."""
    low, tenth, median = np.quantile(values, (0, 0.1, 0.5)).tolist()
    return {"margin_min": low, "margin_10": tenth, "margin_median": median}


def to_numpy(tensor):
    """Returns a tensor or variable as a NumPy array of its own."""
    # A copy, because NumPy 2 warns where Keras hands it a variable.
    return keras.ops.convert_to_numpy(keras.ops.copy(tensor))


def log10_product(values):
    """Base-10 logarithm of the product of non-negative numbers; -inf where it is 0."""
    return sum(math.log10(value) if value > 0 else -math.inf for value in values)


def _is_convolution(layer):
    # Depthwise and transposed convolutions are other classes, or subclasses with
    # another map.
    return type(layer) in CONVOLUTIONS and layer.groups == 1


def _kernels(model, fold):
    """`(name, layer, kernel)` of every weight with two axes or more but biases."""
    readers, scales = collections.Counter(), {}
    for layer in leaves(model) if fold else ():
        inputs = [id(tensor) for tensor in keras.tree.flatten(layer.input)]
        readers.update(inputs)
        if isinstance(layer, keras.layers.BatchNormalization):
            scales[inputs[0]] = _scale(layer)
    found = []
    for layer in leaves(model):
        weights = [w for w in layer.weights if len(w.shape) > 1 and w.name != "bias"]
        for weight in weights:
            name = layer.name if len(weights) == 1 else f"{layer.name}/{weight.name}"
            kernel = to_numpy(weight).astype(float)
            if type(layer) in (keras.layers.Dense, *CONVOLUTIONS):
                linear = layer.activation is keras.activations.linear
                if linear and readers[id(layer.output)] == 1:
                    kernel = kernel * scales.get(id(layer.output), 1.0)
            found.append((name, layer, kernel))
    return found


def _scale(norm):
    scale = 1 / np.sqrt(to_numpy(norm.moving_variance).astype(float) + norm.epsilon)
    return scale * to_numpy(norm.gamma) if norm.scale else scale


def _group_norm(layer, kernel):
    if not _is_convolution(layer):
        columns = kernel.reshape(-1, kernel.shape[-1])
        return float(np.linalg.norm(columns, axis=0).sum())
    # The squared norms of the map's rows, fewer weights at the borders included.
    squares = _convolution(layer, kernel**2)
    rows = squares.matvec(np.ones(squares.shape[1], squares.dtype))
    return float(np.sqrt(np.maximum(rows, 0)).sum())


def _convolution(layer, kernel):
    """The convolution of `layer` with `kernel`, as a SciPy linear operator."""
    size = layer.input.shape[1:-1]
    if None in size or layer.data_format != "channels_last":
        raise ValueError(
            f"{layer.name}: the norm of a convolution needs a fixed input size and "
            f"channels last. Received: input shape {layer.input.shape}, "
            f"{layer.data_format}"
        )
    for axis, dilation in enumerate(layer.dilation_rate):
        # Spelled out in zeros: TensorFlow has no dilated transpose on a CPU.
        before = np.arange(1, kernel.shape[axis]).repeat(dilation - 1)
        kernel = np.insert(kernel, before, 0, axis)
    dtype = keras.backend.standardize_dtype(layer.kernel.dtype)
    kernel = keras.ops.convert_to_tensor(kernel, dtype)
    shape, pads = (1, *layer.input.shape[1:]), [(0, 0)]
    for n, reach, stride in zip(size, kernel.shape, layer.strides, strict=False):
        lacking = max((-(-n // stride) - 1) * stride + reach - n, 0)
        pads.append(
            {
                "valid": (0, 0),
                "same": (lacking // 2, lacking - lacking // 2),
                "causal": (reach - 1, 0),
            }[layer.padding]
        )
    pads.append((0, 0))
    options = {
        "strides": layer.strides,
        "padding": "valid",
        "data_format": "channels_last",
    }

    def forward(vector):
        x = np.pad(vector.astype(dtype).reshape(shape), pads)
        return to_numpy(keras.ops.conv(x, kernel, **options)).ravel()

    def transposed(vector):
        y = vector.astype(dtype).reshape(1, *layer.output.shape[1:])
        y = to_numpy(keras.ops.conv_transpose(y, kernel, **options))
        # Inputs that the last stride leaves unread have no gradient: zeros.
        missing = [
            (0, max(n + sum(pad) - m, 0))
            for n, pad, m in zip(shape, pads, y.shape, strict=True)
        ]
        y = np.pad(y, missing)
        crop = (slice(pad[0], pad[0] + n) for n, pad in zip(shape, pads, strict=True))
        return y[tuple(crop)].ravel()

    sizes = math.prod(layer.output.shape[1:]), math.prod(shape)
    return scipy.sparse.linalg.LinearOperator(
        sizes, matvec=forward, rmatvec=transposed, dtype=dtype
    )


class _PathScale(keras.layers.Layer):
    """Multiplies by constants along the last axis, in any mode.

    An axis of one unit becomes as many as there are constants.
    """

    def __init__(self, scale, **arguments):
        super().__init__(**arguments)
        self.scale = scale

    def call(self, inputs, mask=None, training=None):
        return inputs * keras.ops.convert_to_tensor(self.scale, inputs.dtype)


def _path_layer(layer, p):
    """A linear float64 layer that takes the place of `layer` when paths are summed."""
    scale = None
    if isinstance(layer, keras.layers.BatchNormalization):
        scale = np.abs(_scale(layer)) ** p
    elif isinstance(layer, keras.layers.Rescaling):
        scale = np.abs(layer.scale) ** p
    elif isinstance(layer, ShiftedReLU):
        scale = np.ones(layer.units)  # its thresholds are biases
    elif isinstance(layer, PASSED) or "Normalization" in type(layer).__name__:
        scale = 1.0
    if scale is not None:
        return _PathScale(scale, name=layer.name, dtype="float64")
    config = layer.get_config() | {"dtype": "float64"}
    if "activation" in config:
        config["activation"] = "linear"
    return type(layer).from_config(config)
