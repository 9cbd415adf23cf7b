"""Capacity measures of a trained network: the main terms of published bounds.

They are built from the norms and margins of `norms`, whose choices hold here too; one
(`pacbayes_sigma`) measures how much noise the weights bear.
"""

import math

import numpy as np

from common.analysis import norms


def spectral_complexity(rows):
    """Spectral complexity R of Bartlett et al. 2017 (arXiv 1706.08498).

    `prod_i s_i * (sum_i (b_i / s_i)**(2/3))**(3/2)` with `s_i` the spectral norm of
    layer i as a linear map and `b_i` the (2, 1) norm of its transposed difference
    to the reference: `group_distance` where the rows have it, else `group` (the
    reference is then zero). Activations are taken as 1-Lipschitz.

    Returns:
        Float: the base-10 logarithm of R, -inf where R is 0.
    """
    key = "group_distance" if "group_distance" in rows[0] else "group"
    product = norms.log10_product(row["spectral"] for row in rows)
    if product == -math.inf:
        return product
    ratios = sum((row[key] / row["spectral"]) ** (2 / 3) for row in rows)
    return product + 1.5 * norms.log10_product([ratios])


def normalized_margins(values, log10_complexity, x):
    """Margins over `R * |X|_F / n` (Bartlett et al. 2017).

    Args:
        values: `(n,)` margins.
        log10_complexity: From `spectral_complexity`.
        x: `(n, ...)` the inputs they were taken on.

    Returns:
        `(n,)` array.
    """
    scale = np.linalg.norm(np.asarray(x, float)) / len(x)
    # Of a network of norm 0, and of one whose complexity is beyond a float's range.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(values) / (np.float64(10) ** log10_complexity * scale)


def pacbayes_sigma(model, x, y, deviation=0.1, num_samples=5, seed=0, batch_size=500):
    """Largest weight noise that costs at most `deviation` of accuracy.

    The sigma of `mean accuracy(w + u) >= accuracy(w) - deviation`, u ~ N(0, sigma^2)
    on all trainable weights, biases included: the expected sharpness of Neyshabur et
    al. 2017 (arXiv 1706.08947) at the fixed level used by Dziugaite et al. 2020
    (arXiv 2010.11924, deviation 0.1). Bisection in log sigma over [1e-5, 10] to 1 %,
    the same draws at every sigma. BatchNormalization keeps its moving statistics and
    is not folded: sigma is in the units of the stored weights.

    Args:
        model: Keras classifier; its weights are moved and put back.
        x: `(n, ...)` inputs.
        y: `(n,)` integer labels.
        deviation: Loss of accuracy, in `(0, 1)`.
        num_samples: Noise draws the accuracy is averaged over.
        seed: Integer, of the draws.
        batch_size: Examples per pass.

    Returns:
        Float; `inf` where noise of 10 costs less (an accuracy near chance).
    """
    weights = [norms.to_numpy(v) for v in model.trainable_variables]

    def accuracy(sigma):
        hits = []
        for sample in range(num_samples if sigma else 1):
            rng = np.random.default_rng([seed, sample])
            for variable, value in zip(model.trainable_variables, weights, strict=True):
                variable.assign(value + sigma * rng.standard_normal(value.shape))
            hits.append(np.mean(norms.margins(model, x, y, batch_size) > 0))
        return np.mean(hits)

    try:
        floor = accuracy(0) - deviation
        low, high = math.log(1e-5), math.log(10)
        if accuracy(10) >= floor:
            return math.inf
        while high - low > 0.01:
            middle = (low + high) / 2
            if accuracy(math.exp(middle)) >= floor:
                low = middle
            else:
                high = middle
        return math.exp(low)
    finally:
        for variable, value in zip(model.trainable_variables, weights, strict=True):
            variable.assign(value)


def capacity(rows, margin, path_1, path_2, num_examples, sigma=None):
    """Capacity measures built from the norms; the published bounds' main terms.

    With gamma the margin, W_i the kernels, h_i the output units of layer i (output
    channels of a convolution, our choice, as its weights are shared) and d layers;
    Neyshabur et al. 2017 (arXiv 1706.08947) over gamma squared:

    - `log10_frobenius`: prod 4 |W_i|_F^2 (also Neyshabur et al. 2015)
    - `log10_path_1`: (2^d path_1)^2
    - `log10_path_2`: 4^d prod h_i path_2^2
    - `log10_spectral`: prod h_i |W_i|_2^2

    - `log10_bartlett`: R |X|_F / (gamma n) but for |X|_F / sqrt(n), the inputs' root
      mean square norm: R / (gamma sqrt(n)); Bartlett et al. 2017
    - `pacbayes_flatness`: 1 / sigma^2
    - `pacbayes_origin`, `pacbayes_init`: sqrt((|w|^2 / (4 sigma^2) + ln(n / sigma) +
      10) / n), of the kernels and of their distance from initialization;
      Dziugaite et al. 2020 (arXiv 2010.11924). Both lengths are of the kernels as they
      are stored, in the unit of sigma: BatchNormalization is not folded in

    The Neyshabur measures are not divided by n.

    Args:
        rows: From `norms.layer_norms`; with distances where `initial` was given.
        margin: gamma, here the 10 % quantile of the margins as in Dziugaite et al.;
            at or below 0 the measures over it are nan.
        path_1: `norms.path_norm(model, 1)`.
        path_2: `norms.path_norm(model, 2)`.
        num_examples: n, of the training set.
        sigma: From `pacbayes_sigma`, or `None` to leave its measures out.

    Returns:
        Dict of floats.
    """
    log_margin = math.log10(margin) if margin > 0 else math.nan
    log_path_1, log_path_2 = (norms.log10_product([p]) for p in (path_1, path_2))
    units = norms.log10_product(row["shape"][-1] for row in rows)
    total, depth = norms.total_norms(rows), len(rows)
    result = {
        "log10_frobenius": depth * math.log10(4) + 2 * total["log10_product_frobenius"],
        "log10_path_1": 2 * (depth * math.log10(2) + log_path_1),
        "log10_path_2": depth * math.log10(4) + units + 2 * log_path_2,
        "log10_spectral": units + 2 * total["log10_product_spectral"],
    }
    result = {name: value - 2 * log_margin for name, value in result.items()}
    complexity = spectral_complexity(rows) - math.log10(num_examples) / 2
    result["log10_bartlett"] = complexity - log_margin
    if sigma is not None:
        result["pacbayes_flatness"] = sigma**-2
        lengths = {"origin": total["stored"], "init": total.get("stored_distance")}
        for name, length in lengths.items():
            if length is not None and math.isfinite(sigma):
                inside = length**2 / (4 * sigma**2) + math.log(num_examples / sigma)
                result[f"pacbayes_{name}"] = math.sqrt((inside + 10) / num_examples)
    return result
