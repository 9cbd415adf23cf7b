"""The gallery shows what the pipeline feeds."""

import numpy as np

from common import corruptions
from common.pipelines import Feed
from common.regime import Regime
from common.report import gallery


def test_rows_are_what_a_model_is_fed(data):
    index = np.array([0, 3, 11])
    rows = gallery.rows_of(data, index)
    np.testing.assert_array_equal(
        rows["centre crop"], Feed(data, Regime()).x_train[index]
    )
    noise = corruptions.corrupt_pixels(data, "gaussian")
    np.testing.assert_array_equal(
        rows["gaussian pixels"], Feed(noise, Regime()).x_train[index]
    )
    for label, names in (
        ("crop", ("crop",)),
        ("all together", gallery.augmentations.NAMES),
    ):
        feed = Feed(data, Regime(batch_size=50, augment=names))
        x, _ = feed.batch(0)  # the whole first epoch, in its order
        unordered = np.empty_like(x)
        unordered[feed._plan(0)["order"]] = x
        np.testing.assert_allclose(rows[label], unordered[index], atol=1e-5)


def test_grey_is_the_mean_and_the_ends_are_two_standard_deviations():
    shown = gallery.displayable(np.array([-9.0, -2.0, 0.0, 1.0, 2.0, 9.0]))
    np.testing.assert_allclose(shown, [0, 0, 0.5, 0.75, 1, 1])


def test_the_picture_is_drawn(tmp_path):
    gallery.draw("synthetic", None, tmp_path / "gallery.png")
    assert (tmp_path / "gallery.png").stat().st_size > 5000
