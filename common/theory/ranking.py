"""Measures of networks against how well they generalize, by Kendall's tau (no Keras).

Jiang et al. (2020, arXiv 1912.02178) and Dziugaite et al. (2020, arXiv 2010.11924).
"""

import numpy as np
import pandas as pd
import scipy.stats

SETTINGS = ("size", "width", "depth", "batch", "noise", "seed")
SETTINGS_OF_L2NORM = ("size", "labels", "stop", "seed")
SETTINGS_OF_ANALYSIS = ("network", "noise", "seed")
GAP = "gap"  # test error less training error
DRAWS = 200  # of the bootstrap
# Of fewer groups not even complete agreement excludes chance: 2 ** (1 - 5) > 5 %.
FEWEST = 6
# What of a network's columns is ranked. Of the measures that grow with capacity a large
# tau is expected; of margins and sigma a negative one.
MEASURES = (
    "parameters",
    "l2_norm",
    "distance",
    "product_of_norms",
    "product_of_spectral_norms",
    "path_1",
    "path_2",
    "margin_10",
    "normalized_margin_10",
    "product_of_norms_per_margin",
    "product_of_spectral_norms_per_margin",
    "log10_spectral_complexity",
    "log10_frobenius",
    "log10_path_1",
    "log10_path_2",
    "log10_spectral",
    "log10_bartlett",
    "pacbayes_sigma",
    "pacbayes_flatness",
    "pacbayes_origin",
    "pacbayes_init",
    "eigenvalue_1",
    "trace",
    "box_sharpness",
    "jacobian_norm",
    "critical_sample_ratio",
    "train_loss",
    "epochs",
)


def of_l2norm(lines):
    """The lines of mnist_l2norm.py's CSV as a table with a gap, numbers as numbers."""
    table = pd.DataFrame(lines)
    for column in table.columns.difference(["labels", "stop", "reached"]):
        table[column] = pd.to_numeric(table[column])
    table[GAP] = table.train_accuracy - table.test_accuracy
    return table


# Columns of analysis.csv that are measures by other names; the logarithm ranks alike.
OF_ANALYSIS = {
    "frobenius": "l2_norm",
    "log10_product_frobenius": "product_of_norms",
    "log10_product_spectral": "product_of_spectral_norms",
}


def of_analysis(lines, found):
    """The lines of analyze.py's CSV as such a table.

    Args:
        lines: List of dicts of strings.
        found: Dict of name -> record, of the folder. Networks without one are left out.

    Returns:
        `pandas.DataFrame`; `network` says all settings but label noise and seed.
    """
    rows = []
    for line in lines:
        regime = found.get(line["model"], {}).get("regime")
        if regime:
            varied = ("label_corruption", "seed")
            same = {k: v for k, v in regime.items() if k not in varied}
            rows.append(
                {OF_ANALYSIS.get(k, k): v for k, v in line.items()}
                | {"network": f"{found[line['model']]['script']} {same}"}
                | {"noise": regime["label_corruption"], "seed": regime["seed"]}
            )
    table = pd.DataFrame(rows)
    for column in table.columns.difference(["model", "dataset", "notes", "network"]):
        table[column] = pd.to_numeric(table[column])
    if rows:
        table[GAP] = table.test_error - table.train_error
    return table


def agreement(measure, gap):
    """Mean over pairs of `sign(difference of one) * sign(difference of other)`."""
    i, j = np.triu_indices(len(gap), 1)
    signs = np.sign(measure[i] - measure[j]) * np.sign(gap[i] - gap[j])
    return signs.mean() if len(signs) else np.nan


def ranking(table, settings, seed=0):
    """Ranks the measures of some networks against their gaps.

    Args:
        table: `pandas.DataFrame`, a row a network.
        settings: Names of its columns that say how a network was made.
        seed: Integer, of the bootstrap.

    Returns:
        List of dicts: `measure`; `over`, `all` or the one setting in which the networks
        of a pair differ; `tau`, with its 95 % bootstrap interval `low` to `high`, and
        from how many `groups` of networks, which the bootstrap draws. Over all, tau is
        Kendall's tau-b and a group has the networks that differ in the seed alone; over
        one setting it is the mean, over groups, of tau-a. The interval is -1 to 1, and
        says nothing, if there are fewer than `FEWEST` groups, or if most draws have
        nothing to rank.
    """
    found = []
    names = [name for name in MEASURES if name in table]
    for over in ("all", *settings):
        if over != "all" and table[over].nunique() < 2:
            continue
        apart = "seed" if over == "all" else over
        fixed = [name for name in settings if name != apart]
        groups = [*table.groupby(fixed).indices.values()]
        draws = np.random.default_rng(seed).integers(
            0, len(groups), (DRAWS, len(groups))
        )
        for name in names:
            known = np.isfinite(table[name].to_numpy(float))
            x, y = table[name].to_numpy(float), table[GAP].to_numpy(float)
            # A measure is not there where a network does not reproduce its labels.
            parts = [group[known[group]] for group in groups]
            if over == "all":

                def tau(chosen, x=x, y=y, parts=parts):
                    rows = np.concatenate([parts[i] for i in chosen])
                    if len(rows) < 2:
                        return np.nan
                    return scipy.stats.kendalltau(x[rows], y[rows]).statistic

                told = sum(len(part) > 0 for part in parts)
            else:
                each = np.array([agreement(x[part], y[part]) for part in parts])

                def tau(chosen, each=each):
                    values = each[chosen]
                    values = values[np.isfinite(values)]
                    return values.mean() if len(values) else np.nan

                told = np.isfinite(each).sum()
            value = tau(range(len(groups)))
            if not np.isfinite(value):
                continue
            drawn = np.array([tau(chosen) for chosen in draws])
            drawn = drawn[np.isfinite(drawn)]
            low, high = -1, 1
            if told >= FEWEST and len(drawn) > DRAWS / 2:
                low, high = np.quantile(drawn, (0.025, 0.975))
            found.append(
                {"measure": name, "over": over, "tau": float(value)}
                | {"low": float(low), "high": float(high), "groups": int(told)}
            )
    return found


def verdict(ranking, table):
    """Names the measures that rank best over all, and the worst over one setting."""
    lines = [x for x in ranking if x["networks"] == "grid"]
    overall = {x["measure"]: x for x in lines if x["over"] == "all"}
    if not overall:
        return f"{len(table)} networks: nothing differs that could be ranked."
    best = sorted(overall.values(), key=lambda x: -abs(x["tau"]))[:3]
    said = ", ".join(
        f"{x['measure']} {x['tau']:.2f} ({x['low']:.2f} to {x['high']:.2f})"
        for x in best
    )
    text = (
        f"Over {len(table)} networks Kendall's tau with the generalization gap is "
        f"largest for {said}."
    )
    within = {}
    for line in lines:
        if line["over"] not in ("all", "seed"):
            within.setdefault(line["measure"], []).append(line["tau"])
    same = {
        name: all(tau * overall[name]["tau"] > 0 for tau in taus)
        for name, taus in within.items()
        if name in overall
    }
    steady = [name for name, holds in same.items() if holds]
    if same:
        text += (
            f" Whatever one setting is changed, {len(steady)} of {len(same)} measures "
            "keep the sign that they have over all"
        )
        text += f": {', '.join(steady)}." if steady else "."
    return text
