"""What README shows of the results (no Keras)."""

from common.report import tables


def short_table_1(rows):
    """Returns Table 1 in short, as Markdown: the rows that have records.

    Accuracy in %: the mean over the seeds, with the lowest and the highest where they
    differ. Each row links to the record of its first seed, beside it in the folder of
    results. A sentence below counts the rows that agree with the paper and names those
    that were not yet run.

    Args:
        rows: Iterable of `tables.Row`, from `tables.table_1`.
    """
    lines = [
        "| row | model | regularizer | labels | train | test | the paper's test "
        "| fitted at epoch | seeds |",
        "|--:|--|--|--|--:|--:|--:|--:|--:|",
    ]
    rows, waiting = list(rows), []
    for row in rows:
        number, model, crop, decay, labels = row.fields.values()
        if not row.runs:
            waiting.append(number)
            continue
        regularizers = ["crop"] * (crop == "yes") + ["weight decay"] * (decay == "yes")
        train, test = (tables.spread(row.final(metric)) for metric in tables.FINAL)
        cells = [
            number,
            f"[{model}]({row.runs[0].name}.json)",
            ", ".join(regularizers) or "none",
            labels,
            train,
            test,
            f"{row.paper['test_accuracy'].value:.2f}",
            tables.epochs_to_fit(row),
            len(row.runs),
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    within = sum(tables.verdict(row) == "within" for row in rows)
    said = f"{within} of {len(rows) - len(waiting)} rows are within {tables.TOLERANCE} "
    said += "points of the paper's training and test accuracy."
    if waiting:
        said += f" Not yet run: rows {', '.join(map(str, waiting))}."
    return "\n".join([*lines, "", said])
