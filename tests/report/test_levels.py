"""The level of label corruption is the record's, whatever a table calls it."""

import pytest

from common.report import levels, reading, table_rows


def row(**regime):
    run = reading.Run("r", {"regime": {"label_corruption": 0.5} | regime}, {})
    return table_rows.Row({"corruption": "true labels"}, "", (run,), {})


def test_p_is_the_records():
    assert levels.level(row()) == 0.5
    assert levels.level(row(pixels="true", words=None)) == 0.5
    assert levels.level(row(words="true", label_corruption=0.0)) == 0.0


@pytest.mark.parametrize("part", ({"pixels": "shuffled"}, {"words": "unigram"}))
def test_corrupted_inputs_are_no_level(part):
    assert levels.level(row(**part)) is None
