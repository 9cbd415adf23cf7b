"""Rankings against tables whose order is known, and what measures.py leaves."""

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import measures
from common import cli, records
from common.report import reading, table_rows, tables
from common.theory import measures as theory
from common.theory import ranking as order

pytestmark = pytest.mark.usefixtures("blank_pictures")

FLAGS = (
    "--dataset mnist_5k --train-size 20 30 --widths 4 --depths 1 --batch-size 8 "
    "--label-corruption 1 --seeds 2 --epochs 60 --quiet"
).split()


def train(initial, x, y, seeds, **settings):
    """In place of `replicas.train`, which has tests of its own: somewhere else."""
    rng, stops = np.random.default_rng(0), []
    for i in range(len(y)):
        weights = [w[i] + 0.1 * rng.standard_normal(w[i].shape) for w in initial]
        stop = theory.replicas.Stop(int(rng.integers(99)), True, weights)
        stops.append([stop, stop])
    return stops


# Of two networks with true and with random labels: norm and generalization gap.
ANALYZED = {
    ("cifar10_mlp.py", 0): (1.0, 0.4),
    ("cifar10_mlp.py", 1): (4.0, 0.9),
    ("cifar10_alexnet.py", 0): (2.0, 0.2),
    ("cifar10_alexnet.py", 1): (3.0, 0.8),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, took_long, make_up):
    """(folder, record) of a run interrupted in its second group, and continued."""
    path, part, asked = tmp_path_factory.mktemp("measures"), theory.Grid.part, []

    def interrupted(self, *group):
        asked.append(group)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return part(self, *group)

    flags = [*FLAGS, "--results-dir", str(path), "--models-dir", str(path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theory.replicas, "train", train)
        patch.setattr(order, "DRAWS", 20)
        patch.setattr(theory.Grid, "part", interrupted)
        with pytest.raises(cli.Interrupted, match="1 finished part is"):
            measures.main(flags)
        took_long(path)
        lines = [("no_record_of_it", 7.0, 0.01, "")]
        for (script, noise), (norm, error) in ANALYZED.items():
            command = f"{script} --label-corruption {noise}" if noise else script
            lines.append((make_up(path, command), norm, error, ""))
        head = ["model", "frobenius", "test_error", "margin_10"]
        analyzed = pd.DataFrame(lines, columns=head).assign(train_error=0)
        analyzed.to_csv(path / "analysis.csv", index=False)
        record = measures.main(flags)
    assert [size for _, _, size, _ in asked] == [20, 30, 30]
    return path, record


def test_what_a_run_leaves(finished):
    path, record = finished
    name = record["name"]
    assert record == records.read(path / f"{name}.json")
    assert records.read_rows(path / f"{name}.csv", record)
    assert (path / "figures" / f"{name}_ranking.png").exists()
    assert record["seconds"] >= 999  # the group before the interruption, too
    table = pd.read_csv(path / f"{name}.csv")
    told = set(zip(table["size"], table.noise, table.seed, strict=True))
    assert told == {*itertools.product((20, 30), (1,), (0, 1))}
    assert len(table) == 4 and record["networks"] == {"grid": 4, "analysis": 4}
    assert np.allclose(table.gap, table.train_accuracy - table.test_accuracy)
    # Every measure of analyze.py is ranked, where it differs.
    left = {*order.MEASURES} - {*table.columns}
    assert not left
    ranking = [x for x in record["ranking"] if x["networks"] == "grid"]
    over_all = {x["measure"]: x for x in ranking if x["over"] == "all"}
    told = scipy.stats.kendalltau(table.l2_norm, table.gap).statistic
    assert over_all["l2_norm"]["tau"] == pytest.approx(told)
    assert over_all["l2_norm"]["groups"] == 2
    assert {x["over"] for x in ranking} == {"all", "size", "seed"}


def test_saved_models_that_were_analyzed_are_ranked_beside(finished):
    _, record = finished
    norm, gap = zip(*ANALYZED.values(), strict=True)
    found = {
        x["over"]: (x["measure"], round(x["tau"], 9), x["groups"])
        for x in record["ranking"]
        if x["networks"] == "analysis"
    }
    assert found == {
        "all": ("l2_norm", round(scipy.stats.kendalltau(norm, gap).statistic, 9), 4),
        "noise": ("l2_norm", 1, 2),  # random labels: a larger norm, a larger gap
        # A larger norm: the smaller gap with true labels, the larger with random ones.
        "network": ("l2_norm", 0, 2),
    }


def made_up(**columns):
    """A grid of two settings and three seeds."""
    rows = itertools.product((1, 2), (1, 2), (0, 1, 2))
    table = pd.DataFrame(rows, columns=["size", "width", "seed"])
    return table.assign(**{k: f(table) for k, f in columns.items()})


def rank(table, seed=0):
    lines = order.ranking(table, ("size", "width", "seed"), seed)
    return {(x["measure"], x["over"]): x for x in lines}


def test_a_measure_that_is_the_gap_and_one_that_is_its_opposite():
    def gap(t):
        return 10 * t["size"] + 3 * t.width + t.seed

    found = rank(made_up(gap=gap, trace=gap, margin_10=lambda t: -gap(t)))
    assert {key: round(x["tau"], 9) for key, x in found.items()} == {
        (name, over): sign
        for name, sign in (("trace", 1), ("margin_10", -1))
        for over in ("all", "size", "width", "seed")
    }
    for (_, over), x in found.items():  # over all and the seed there are four groups
        known = over in ("size", "width")
        assert x["low"] == pytest.approx(x["tau"] if known else -1)
        assert x["high"] == pytest.approx(x["tau"] if known else 1)
    groups = {over: found["trace", over]["groups"] for over in ("all", "size", "seed")}
    assert groups == {"all": 4, "size": 6, "seed": 4}


def test_right_over_all_and_wrong_where_one_setting_changes():
    """Simpson's paradox, which is why settings are changed one at a time."""
    table = made_up(
        gap=lambda t: 10 * t["size"] + t.width + t.seed / 10,
        trace=lambda t: 10 * t["size"] - t.width + t.seed / 10,
    )
    found = rank(table)
    assert found["trace", "size"]["tau"] == 1 and found["trace", "width"]["tau"] == -1
    told = scipy.stats.kendalltau(table.trace, table.gap).statistic
    assert found["trace", "all"]["tau"] == pytest.approx(told) and 0 < told < 1


def test_the_interval_covers_chance():
    rng = np.random.default_rng(0)
    missed = 0
    for seed in range(8):
        table = made_up(
            gap=lambda t: rng.random(len(t)), trace=lambda t: rng.random(len(t))
        )
        line = rank(table, seed)["trace", "size"]
        missed += not line["low"] <= 0 <= line["high"]
    assert missed <= 3  # of six groups: rougher than the stated 5 %


def test_what_is_missing_is_left_out():
    table = made_up(
        gap=lambda t: 10 * t["size"] + t.seed, trace=lambda t: 10.0 * t["size"] + t.seed
    )
    table.loc[0, "trace"] = np.nan
    table["margin_10"] = np.nan
    found = rank(table)
    assert (
        found["trace", "all"]["tau"] == pytest.approx(1)
        and found["trace", "size"]["tau"] == 1
    )
    assert ("margin_10", "all") not in found


def test_the_report_shows_the_largest_first():
    def line(measure, tau, networks="grid", over="all"):
        tau = {"tau": tau, "low": tau - 0.1, "high": tau + 0.1}
        return {"networks": networks, "measure": measure, "over": over} | tau

    ranking = [
        line("trace", 0.2),
        line("l2_norm", 0.5),
        line("trace", -0.3, over="size"),
    ]
    ranking.append(line("trace", 0.4, "mnist_l2norm"))
    others = "mnist_l2norm_mnist_5k_seeds2"  # the reader's own, which has no name here
    ranking.append(line("trace", 0.1, others))
    run = reading.Run("measures_seed0", {"ranking": ranking}, {})
    head, lines = tables.measures([table_rows.Row({}, "", (run,), {})])
    told = ["all of mnist_l2norm.py", f"all {others}"]
    assert head == ["measure", "all networks", "examples", *told]
    assert lines == [
        ["l2 norm", "0.50 (0.40 to 0.60)", "", "", ""],
        ["trace", "0.20 (0.10 to 0.30)", "-0.30", "0.40", "0.10"],
    ]


def one_group_a_network(networks):
    """Networks that differ in size and noise, without anything to be learned."""
    rng = np.random.default_rng(0)
    sizes, noise = (
        np.repeat(np.arange(networks // 2), 2),
        np.tile((0, 1), networks // 2),
    )
    table = pd.DataFrame({"size": sizes, "noise": noise, "seed": 0})
    # The norm tells the labels, in each group, and the gap does so too.
    gap = table.noise + 0.1 * rng.random(networks)
    return table.assign(gap=gap, l2_norm=table.noise + 0.1 * rng.random(networks))


@pytest.mark.parametrize(("networks", "told"), [(2, False), (10, False), (12, True)])
def test_an_interval_of_few_groups_says_nothing(networks, told):
    """Two groups agree by chance in half of the cases, whatever the bootstrap says."""
    lines = order.ranking(one_group_a_network(networks), ("size", "noise", "seed"))
    (found,) = [x for x in lines if x["over"] == "noise"]
    assert found["tau"] == 1 and found["groups"] == networks // 2
    assert (found["low"], found["high"]) == ((1, 1) if told else (-1, 1))


def test_groups_without_a_value_are_not_counted():
    table = one_group_a_network(12)
    table.loc[0, "l2_norm"] = np.nan
    lines = order.ranking(table, ("size", "noise", "seed"))
    found = {x["over"]: x for x in lines}
    assert {over: x["groups"] for over, x in found.items()} == {
        "all": 11, "size": 2, "noise": 5,
    }  # fmt: skip
    assert (found["noise"]["low"], found["noise"]["high"]) == (-1, 1)
    assert found["all"]["low"] > -1
