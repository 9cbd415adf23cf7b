"""A record against the same training run again: what is compared, and how closely.

On a CPU a run is a function of its command, the processor, the versions and the number
of threads. Where these are the same, every line of the CSV has to be; elsewhere the
last bits differ, training follows another path, and only where it arrives is compared.
"""

from common.sweep import commands

SAME = ("backend", "versions", "device", "threads", "onednn", "precision_in_force")
ACCURACY = 0.02  # of the final accuracies, on training labels and test set
EPOCHS = 0.2  # of the epochs to fit, and 2 at least


def command(record, rows):
    """Returns the words that train a record again, but for where its files go.

    Args:
        record: Dict of a training run.
        rows: Lines of its CSV, which say how it was measured.
    """
    # Records of before there were samples measured all examples after every epoch.
    measured = {row.get("measured") for row in rows}
    everything = measured <= {None, str(record.get("train_examples"))}
    measure = ["--measure", "all" if everything else "sample"]
    # From the first epoch, and without writing where it wrote.
    words = commands.without(record["argv"], "--continue-from", "--tensorboard")
    return (f"{record['script']}.py", *words, *measure)


def compare(old, old_rows, new, new_rows):
    """Compares a record with that of the run again.

    Args:
        old, new: Dicts of training runs.
        old_rows, new_rows: Lines of their CSVs, as dicts of strings.

    Returns:
        `(verified, sentence)`.
    """
    if old.get("train_sha256") != new.get("train_sha256"):
        return False, "trained on other data: the sha256 of the training set differs"
    changed = [key for key in SAME if old.get(key) != new.get(key)]
    if old.get("resumed_in_another_environment"):
        changed.append("environment during the run")
    if not changed:
        difference = _first_difference(old_rows, new_rows)
        if not difference:
            return True, f"bit for bit the same in all {len(old_rows)} epochs"
        return False, (
            f"not the same, on the same processor, versions and threads: {difference}"
        )
    found, verified = [], True
    for key, what in {"train_accuracy": "training", "val_accuracy": "test"}.items():
        pair = old["final"][key], new["final"][key]
        verified &= abs(pair[0] - pair[1]) <= ACCURACY
        found.append(f"{what} accuracy {100 * pair[1]:.2f} % for {100 * pair[0]:.2f} %")
    fits = [record["epochs_to_fit"] for record in (old, new)]
    if None in fits:
        verified &= fits == [None, None]
    else:
        verified &= abs(fits[0] - fits[1]) <= max(2, EPOCHS * fits[0])
    words = ["never" if fit is None else f"at epoch {fit}" for fit in fits]
    within = "within" if verified else "not within"
    return verified, (
        f"{within} {100 * ACCURACY:g} points and {100 * EPOCHS:g} % of the epochs, and "
        f"not bit for bit ({_listed(changed)} changed): {', '.join(found)}, fitted "
        f"{words[1]} for {words[0]}"
    )


def _listed(keys):
    return ", ".join(key.replace("_", " ") for key in keys)


def _first_difference(old_rows, new_rows):
    if len(old_rows) != len(new_rows):
        return f"{len(new_rows)} epochs for {len(old_rows)}"
    for old, new in zip(old_rows, new_rows, strict=True):
        for column in old:
            if column != "seconds" and old[column] != new.get(column):
                received = new.get(column)
                return f"{column} {received} for {old[column]} in epoch {old['epoch']}"
    return ""
