"""What is recorded of each training example after an epoch, from its logits."""

import numpy as np

# Names in the file, in its order, and what they are stored as.
KINDS = {
    "predicted": np.uint16,  # class of the largest logit, the first of equal ones
    "margin": np.float16,
    "probability": np.float16,  # of the true label
    "loss": np.float16,  # cross-entropy of the given label, in nats
    "error_norm": np.float16,
}


def measure(logits, given, true):
    """Measures one epoch: the network as it is after it, weights frozen.

    With softmax p of the logits z, given label y and true label t: `margin` is
    `z_y - max_{k != y} z_k` (Pleiss et al. 2020), in logits, so that it is positive
    where the network is right; `probability` is `p_t`; `loss` is `-ln p_y`;
    `error_norm` is `||p - onehot(y)||_2`, from 0 to sqrt(2) (the EL2N score of Paul et
    al. 2021, of this one network).

    Args:
        logits: `(num_examples, num_classes)` floats.
        given: `(num_examples,)` integers: labels that are trained on.
        true: `(num_examples,)` integers: labels before any was replaced.

    Returns:
        Dict of `KINDS` -> `(num_examples,)` array. What float16 does not hold is its
        largest or smallest number; NaN of a network that has diverged.
    """
    each = np.arange(len(given))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        shifted = logits - logits.max(1, keepdims=True)
        exponentials = np.exp(shifted)
        partition = exponentials.sum(1)
        probabilities = exponentials / partition[:, None]
        others = np.array(logits, np.float64)
        others[each, given] = -np.inf
        errors = probabilities.copy()
        errors[each, given] -= 1
        found = {
            "predicted": logits.argmax(1),
            "margin": logits[each, given] - others.max(1),
            "probability": probabilities[each, true],
            "loss": np.log(partition) - shifted[each, given],
            "error_norm": np.sqrt((errors**2).sum(1)),
        }
        return {name: _within(found[name], kind) for name, kind in KINDS.items()}


def _within(values, kind):
    """Values as another type, with no infinity: sums of two of those are NaN."""
    if np.issubdtype(kind, np.floating):
        values = np.clip(values, np.finfo(kind).min, np.finfo(kind).max)
    return values.astype(kind)
