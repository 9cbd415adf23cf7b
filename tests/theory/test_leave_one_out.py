"""Leaving one out in closed form, against as many solutions as there are examples."""

import numpy as np
import pandas as pd
import pytest

from common import corruptions, datasets, records
from common.cli import MendableError
from common.report import random_feature_figures
from common.theory import features, leave_one_out


@pytest.fixture(scope="module")
def digits():
    data = datasets.named("mnist_5k", 60)
    return features.unit(data.x_train), data


def brute_force(x, y, new=None):
    """(n, outputs): the interpolator without i, at i; or (n, m, outputs), at others."""
    found = []
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        kernel = leave_one_out.gaussian(x[rest], 0.02)
        there = x[i : i + 1] if new is None else new
        cross = leave_one_out.gaussian(x[rest], 0.02, there)
        found.append(cross @ np.linalg.solve(kernel, y[rest]))
    return np.squeeze(np.array(found), 1) if new is None else np.array(found)


@pytest.mark.parametrize("p", [0, 0.2, 1])
def test_closed_form_is_brute_force(p, digits):
    x, data = digits
    labels = corruptions.corrupt_labels(data.y_train, p, 10, 0)
    y = np.eye(10)[labels]
    exact = brute_force(x, y)
    found = leave_one_out.left_out(leave_one_out.gaussian(x, 0.02), y)
    np.testing.assert_allclose(found.predictions, exact, atol=1e-9)
    scores, residuals = leave_one_out.memorization(
        leave_one_out.gaussian(x, 0.02), labels, 10
    )
    np.testing.assert_array_equal(scores, exact.argmax(1) != labels)
    assert 0 < scores.mean() < 1
    mine = exact[np.arange(60), labels]
    np.testing.assert_allclose(residuals, 1 - mine, atol=1e-9)


def test_kernel_is_the_gaussian(digits):
    x, _ = digits
    squares = ((x[:, None].astype(float) - x[None, :5]) ** 2).sum(-1)
    kernel = leave_one_out.gaussian(x[:5], 0.02, x)
    np.testing.assert_allclose(kernel, np.exp(-0.02 * squares), rtol=1e-11)


def test_test_images_that_hinge_on_one_training_image(digits):
    x, data = digits

    class Settings:
        features, bandwidth, levels = "raw", (0.02,), (0.0, 1.0)
        label_noise, data_seed = "uniform", 0

    few = data._replace(x_test=data.x_test[:80], y_test=data.y_test[:80])
    rows, more = leave_one_out.measure(few, Settings)
    y, new = np.eye(10)[data.y_train], features.unit(few.x_test)
    kernel = leave_one_out.gaussian(x, 0.02)
    with_all = leave_one_out.gaussian(x, 0.02, new) @ np.linalg.solve(kernel, y)
    without = brute_force(x, y, new)
    right = with_all.argmax(1) == few.y_test
    hinges = right & (without.argmax(2) != few.y_test)  # (n, m)
    assert more["helped_test_images"] == hinges.any(0).sum() > 0
    change = (with_all - without)[..., few.y_test][:, np.arange(80), np.arange(80)]
    for pair in more["helped"]:
        i, j = pair["example"], pair["test_example"]
        assert hinges[i, j]
        assert pair["influence"] == pytest.approx(
            change[hinges[:, j], j].max(), abs=1e-4
        )
        assert pair["without"] == without[i, j].argmax() != pair["label"]
    first = more["most_memorized"][0]
    alone = brute_force(x, y)
    assert first["left_out"] == alone[first["example"]].argmax() != first["label"]
    every = {(row["label_corruption"], row["labels"]): row for row in rows}
    assert list(every) == [(0, "all"), (1, "all"), (1, "true"), (1, "wrong")]
    assert every[0, "all"]["memorized"] == np.mean(alone.argmax(1) != data.y_train)
    kept = more["examples"]["0"]
    assert kept["labels"].split() == [str(label) for label in data.y_train]
    np.testing.assert_allclose(
        np.array(kept["residuals"].split(), float),
        1 - alone[np.arange(60), data.y_train],
        atol=6e-5,
    )


def test_random_labels_are_memorized_in_the_expected_share():
    x = np.random.default_rng(0).random((1500, 5))
    kernel = leave_one_out.gaussian(x, 20.0)
    for classes in (2, 10):
        labels = np.random.default_rng(classes).integers(0, classes, 1500)
        scores, _ = leave_one_out.memorization(kernel, labels, classes)
        error = np.sqrt((1 - 1 / classes) / classes / 1500)
        assert abs(scores.mean() - (1 - 1 / classes)) < 3 * error


def test_equal_images_do_not_interpolate():
    kernel = np.ones((3, 3))
    with pytest.raises(MendableError, match="singular"):
        leave_one_out.left_out(kernel, np.eye(3))


def test_what_was_left_out_is_said():
    rows = [
        {
            "label_corruption": p,
            "labels": "all",
            "memorized": m,
            "standard_error": 0.004,
        }
        for p, m in ((0.0, 0.05), (0.2, 0.3), (1.0, 0.9))
    ]
    data = datasets.named("mnist_5k")
    more = {"helped_test_images": 7}
    said = leave_one_out.verdict(rows, more, data)
    assert said == (
        "Memorized, that is predicted wrongly without themselves, of 4,000 "
        "interpolated images: with true labels 5.00 %, with label corruption 0.2 "
        "30.00 %, with random labels 90.00 % (standard error 0.40; 90 % are "
        "expected). 7 of 1,000 test images are classified rightly only because of "
        "one training image."
    )
    said = leave_one_out.verdict(rows, more, data, "exclusive")
    assert "90.00 % (standard error 0.40). 7 of" in said


def test_levels_that_look_alike_are_kept_apart(digits, tmp_path):
    _, data = digits
    few = data._replace(x_test=data.x_test[:9], y_test=data.y_test[:9])

    class Settings:
        features, bandwidth, levels = (
            "raw",
            (0.02,),
            (0.2, 0.3333333, 0.33333334, 1 / 3),
        )
        label_noise, data_seed = "uniform", 0

    rows, more = leave_one_out.measure(few, Settings)
    levels = ["0.2", "0.3333333", "0.33333334", "0.3333333333333333"]
    assert list(more["examples"]) == levels
    records.write_csv(tmp_path / "a.csv", rows)
    figure = random_feature_figures.left_out(pd.read_csv(tmp_path / "a.csv"), more)
    (legend,) = [axis.get_legend() for axis in figure.axes if axis.get_legend()]
    shares = [row["memorized"] for row in rows if row["labels"] == "all"]
    expected = [
        f"label corruption {level}: {100 * share:.1f} %"
        for level, share in zip(levels, shares, strict=True)
    ]
    assert [text.get_text() for text in legend.get_texts()] == expected
