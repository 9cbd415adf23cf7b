"""Tables with columns of their own, as texts (imports no Keras)."""

import math

from common.datasets import FACTS
from common.report import names, published, stats, table_rows


def kernels(rows):
    """Returns the last line of every run of min_norm.py, beside the paper's values.

    Args:
        rows: `table_rows.Row`s of the artefact `kernels`, with records or without.

    Returns:
        `(head, lines)`: names of columns, and lists of texts; a setting with several
        ridges has a line without and one with the largest. What is not printed in
        the paper says how sure it is.
    """
    paper = {(x["setting"], x["metric"]): v for x, v in published.of("kernels")}
    head = ["setting", "images", "train error %", "test error %", "paper", "Δ"]
    head += ["verdict", "norm", "paper's norm"]
    lines = []
    for row in rows:
        solved = row.runs[0].record["rows"] if row.runs else []
        last = {x["ridge"]: x for x in solved if "test_error" in x}
        for ridge in sorted({min(last, default=0.0), max(last, default=math.inf)}):
            line = last.get(ridge)
            setting = row.fields["setting"] + ", with l2" * (ridge > 0)
            known = [paper.get((setting, m)) for m in ("test_error", "l2_norm")]
            if not line and not any(known):
                continue
            texts = [f"{x.value:g}{published.unsure(x)}" if x else "" for x in known]
            cells = ["", "", "not yet run", texts[0], "", "not yet run", "", texts[1]]
            if line:
                cells = [str(row.runs[0].record["train_size"])]
                cells += [
                    stats.percent(100 * line[k]) for k in ("train_error", "test_error")
                ]
                gap, said = "", ""
                if known[0]:
                    error = 100 * line["test_error"]
                    gap = round(error - known[0].value, 2)
                    images = FACTS["mnist"].test  # CIFAR-10 has as many
                    within = min(
                        table_rows.TOLERANCE,
                        stats.two_errors(error, known[0].value, images),
                    )
                    said = "within" if abs(gap) <= within else "outside"
                    said, gap = f"{said} ±{within:.2f}", f"{gap:+.2f}"
                cells += [texts[0], gap, said, f"{line['rkhs_norm']:.4g}", texts[1]]
            lines.append([setting, *cells])
    return head, lines


_TOP = {  # a metric of the paper's Table 2 -> the key of a record's final values
    "top1_train": "train_accuracy",
    "top1_test": "val_accuracy",
    "top5_train": "train_top5_accuracy",
    "top5_test": "val_top5_accuracy",
}


def table_2(rows):
    """Returns Table 2 beside the paper's values: top-1 and top-5 accuracy in %.

    Args:
        rows: `table_rows.Row`s of the artefact `table_2`, with records or without.

    Returns:
        `(head, lines)`: names of columns, and lists of texts. The paper's running best
        is in brackets; what is not printed in the paper says how sure it is.
    """
    settings = ("labels", "augmentation", "dropout", "weight_decay")
    head = ["row", *(name.replace("_", " ") for name in settings)]
    for metric in _TOP:
        head += [f"{metric.replace('top', 'top-').replace('_', ' ')} %", "paper", "Δ"]
    said, paper = {}, {}
    for line, value in published.of("table_2"):
        said[int(line["row"])] = line
        paper[int(line["row"]), line["metric"]] = value
    lines = []
    for row in rows:
        number = row.fields["row"]
        cells = [str(number), *(said[number][name] for name in settings)]
        for metric, key in _TOP.items():
            finals = [run.record["final"].get(key) for run in row.runs]
            ours = stats.stat([100 * value for value in finals if value is not None])
            value = paper[number, f"{metric}_accuracy"]
            best = paper.get((number, f"{metric}_best"))
            text = f"{value.value:.2f}" + (f" ({best.value:.2f})" if best else "")
            gap = f"{ours.mean - value.value:+.2f}" if ours else ""
            cells += [
                stats.spread(ours) if ours else "not yet run",
                text + published.unsure(value),
            ]
            cells.append(gap)
        lines.append(cells)
    return head, lines


def random_features(rows):
    """Returns the errors and norms of every number of features, over the draws.

    Args:
        rows: `table_rows.Row`s of the artefact `double_descent_features`.

    Returns:
        `(head, lines)`: names of columns, and lists of texts. Without label corruption
        the published values stand beside.
    """
    head = ["setting", "label corruption", "features", "draws", "train error %"]
    head += ["test error %", "published", "Δ", "norm", "published norm"]
    lines, belkin = [], published.features()
    for row in rows:
        groups = {}
        for line in row.runs[0].record["rows"] if row.runs else ():
            key = line.get("label_corruption", 0.0), line.get("num_features", 0)
            groups.setdefault(key, []).append(line)
        for (p, count), members in sorted(groups.items()):
            train, test, norm = (
                stats.stat([scale * line[name] for line in members])
                for name, scale in (
                    ("train_error", 100),
                    ("test_error", 100),
                    ("rkhs_norm", 1),
                )
            )
            known = {} if p else belkin.get(row.fields["setting"], {})
            said = known.get(count, {})
            texts = [
                f"{said[x].value:g}" if x in said else ""
                for x in ("test_error", "norm")
            ]
            gap = f"{test.mean - said['test_error'].value:+.2f}" if texts[0] else ""
            drawn = [str(count), str(len(members))] if count else ["the kernel", ""]
            cells = [row.fields["setting"], f"{p:g}", *drawn]
            cells += [stats.spread(train), stats.spread(test), texts[0], gap]
            lines.append([*cells, stats.short_spread(norm), texts[1]])
    return head, lines


def measures(rows):
    """Returns Kendall's tau of every measure with the generalization gap.

    Args:
        rows: `table_rows.Row`s of the artefact `measures`, with records or without.

    Returns:
        `(head, lines)`: names of columns, and lists of texts, the largest tau over all
        networks of the grid first; in brackets its 95 % interval.
    """
    found = [x for row in rows for run in row.runs for x in run.record["ranking"]]
    columns = dict.fromkeys((x["networks"], x["over"]) for x in found)
    ours = [(name, over) for name, over in columns if name == "grid" or over == "all"]
    lines = {}
    for x in found:
        lines.setdefault(x["measure"], {})[x["networks"], x["over"]] = x
    first = ("grid", "all")
    order = sorted(lines, key=lambda x: -lines[x].get(first, {"tau": -2})["tau"])
    head = ["measure"]
    for name, over in ours:
        grid = names.SETTINGS.get(over, over)
        head.append(grid if name == "grid" else f"all {names.NETWORKS.get(name, name)}")
    return head, [
        [
            measure.replace("_", " "),
            *(_tau(lines[measure].get(column), column == first) for column in ours),
        ]
        for measure in order
    ]


def _tau(line, interval):
    if not line:
        return ""
    ends = f" ({line['low']:.2f} to {line['high']:.2f})" if interval else ""
    return f"{line['tau']:.2f}{ends}"


def constants(head, lines):
    """Parts the columns that say the same in every line from those that vary.

    Args:
        head: Names of columns.
        lines: Lists of texts, of several lines.

    Returns:
        `(head, lines, same)`: what varies, and dict of name -> text of the others;
        columns without any text are left out.
    """
    if len(lines) < 2:
        return head, lines, {}
    columns = list(zip(*lines, strict=True))
    varied = [i for i, column in enumerate(columns) if len(set(column)) > 1]
    same = {
        name: column[0]
        for name, column in zip(head, columns, strict=True)
        if len(set(column)) == 1 and column[0]
    }
    lines = [[line[i] for i in varied] for line in lines]
    return [head[i] for i in varied], lines, same


# Artefacts whose table has columns of its own.
TABLES = {
    "kernels": kernels,
    "table_2": table_2,
    published.FEATURES: random_features,
    "measures": measures,
}


_KEYS = ("size", "labels", "stop")
_MEASURES = (
    "epochs",
    "test_accuracy",
    "l2_norm",
    "product_of_norms",
    "eigenvalue_1",
    "trace",
)


def grouped(lines):
    """Summarizes the CSV of a script of many small parts.

    Args:
        lines: List of dicts of strings. With a column `seed`, lines that differ in
            it are one row, with the mean and the range of what is measured, and the
            count that `reached` their stopping point; else every line is a row.

    Returns:
        `(head, rows)`: names of columns, and lists of texts.
    """
    if not lines or not {"seed", *_KEYS} <= lines[0].keys():
        return list(lines[0]) if lines else [], [
            [stats.short(cell) for cell in line.values()] for line in lines
        ]
    measures = [name for name in _MEASURES if name in lines[0]]
    groups = {}
    for line in lines:
        groups.setdefault(tuple(line[key] for key in _KEYS), []).append(line)
    rows_ = []
    for key, members in groups.items():
        row = [*key, str(len(members))]
        if "reached" in members[0]:
            reached = sum(line["reached"] in ("True", "1") for line in members)
            row.append(f"{reached} of {len(members)}")
        for name in measures:
            value = stats.stat([float(line[name]) for line in members if line[name]])
            row.append(stats.short_spread(value) if value else "")
        rows_.append(row)
    reached = ["reached"] if "reached" in lines[0] else []
    return [*_KEYS, "n", *reached, *measures], rows_
