"""What a file of examples says, in numbers and in sentences."""

from common import verdicts
from common.examples import scores


def looked_at(found, epochs):
    """Returns the epoch after which one looks: AUM's best, or else the last one.

    Args:
        found: From `scores.find`.
        epochs: How many there are.
    """
    known = [each.best_epoch for each in found if each.score == "AUM"]
    return known[0] if known else epochs


def numbers(examples, found):
    """Returns what the record of examples.py keeps, as a dict for JSON."""
    course = scores.courses(examples)
    starts = scores.memorization_starts(course, examples.num_classes)
    return {
        "examples": len(examples.given),
        "wrong": int(examples.flipped.sum()),
        "epochs": len(examples.predicted),
        "memorized_above": scores.MEMORIZED,
        "scores": {
            each.score: {
                "best_epoch": each.best_epoch,
                "best_auc": each.best_auc,
                "precision": each.precision,
                "auc": each.auc,
            }
            for each in found
        },
        "memorization_starts_after": starts,
        "courses": course,
    }


def verdict(examples, found):
    """Says in two or three sentences what the network did with the examples.

    Args:
        examples: `files.Examples`.
        found: From `scores.find`.
    """
    n, wrong = len(examples.given), int(examples.flipped.sum())
    epochs, courses = len(examples.predicted), scores.courses(examples)
    percent, right = verdicts.percent, examples.right
    if not found:
        events = scores.forgetting_events(right)
        never = int((~right.any(0)).sum())
        forgotten = float((events > 0).mean())
        said = f"Every given label of {n:,} is the true one."
        if wrong:
            said = f"Every given label of {n:,} is wrong."
        return (
            f"{said} {percent(forgotten)} of the examples are forgotten at least once "
            f"or never right, {never:,} are never right, and after epoch {epochs} "
            f"{percent(1 - right[-1].mean())} are wrong: the picture shows the most "
            "suspicious."
        )
    best = max(found, key=lambda each: each.best_auc)
    said = (
        f"{wrong:,} of {n:,} given labels ({percent(wrong / n)}) are wrong. "
        f"{best.score} finds them best: AUC {best.best_auc:.3f} after epoch "
        f"{best.best_epoch} of {epochs}, when {percent(best.precision)} of the "
        f"{wrong:,} most suspected are wrong."
    )
    true, given = courses["flipped_true"], courses["flipped_given"]
    last = scores.memorization_starts(courses, examples.num_classes)
    if not last:
        return (
            f"{said} The network never predicts their true labels much more often than "
            f"by chance (at most {percent(max(true))}); after epoch {epochs} it has "
            f"{percent(given[-1])} of the wrong ones."
        )
    return (
        f"{said} Memorization starts after epoch {last}: then the network predicts the "
        f"true label of {percent(true[last - 1])} of them, after epoch {epochs} that "
        f"of {percent(true[-1])}, and the wrong label given of {percent(given[-1])}."
    )
