"""docs/live.html in a real browser: its losses are a record's, and it memorizes."""

import json
import re
import shlex

import numpy as np
import pytest
from browsing import find, requests_of, size

import cifar10_mlp
from common import corruptions, datasets, models, pipelines, records
from common.report import live, page
from common.sweep import commands

# A training of the page: the arguments are flat weights, orders, labels, decay.
TRAIN = """
const [weights, orders, labels, decay] = arguments;
const training = new Training({
  weights, labels, decay, images: train.images.slice(0, labels.length),
  test: test.images, testLabels: test.labels, order: (epoch) => orders[epoch],
});
while (training.rows.length < orders.length) training.advance();
return training.rows.map((row) => [row.loss, row.train]);
"""
SHOWN = 'const all = [...document.querySelectorAll("#digits li")];'


@pytest.fixture(scope="module")
def opened(browser):
    """The page, trained on its random labels; returns the browser and the seconds."""
    browser.get("about:blank")
    for log in ("browser", "performance"):
        browser.get_log(log)
    size(browser, 1280)
    browser.get(live.PAGE.as_uri())
    seconds = finished(browser)
    return browser, seconds


def finished(browser):
    """Waits until the page says its end; returns the seconds it trained."""
    return browser.execute_async_script(
        "const done = arguments[0], begun = performance.now();"
        "const look = () => document.querySelector('#said').innerText.includes("
        "'Guessing') ? done((performance.now() - begun) / 1000) : setTimeout(look, 50);"
        "started.then(look)"
    )


def choose(browser, **values):
    browser.execute_script(
        "for (const [name, value] of Object.entries(arguments[0]))"
        " document.getElementById(name).value = value;"
        "document.querySelector('#size').dispatchEvent(new Event('input', "
        "{bubbles: true}))",
        values,
    )


def test_the_page_is_that_of_its_parts():
    text = live.PAGE.read_text("utf-8")
    packed = json.loads(re.search(r"^const DIGITS = (.*);$", text, re.M)[1])
    digits = live.digits()
    # Another zlib may pack the same bytes otherwise.
    assert live.unpacked(packed) == live.unpacked(digits)
    pixels = packed["pixels"]
    assert {**packed, "pixels": ""} == {**digits, "pixels": ""}
    assert text == live.render({**digits, "pixels": pixels}), (
        "python -m " + live.__name__
    )


def test_it_memorizes_500_random_labels_within_a_minute(opened):
    browser, seconds = opened
    assert seconds < 60
    assert "All 500 labels are reproduced" in find(browser, "#said").text
    accuracies = [
        float(find(browser, f"#{card} dd.{part}").text.split()[0])
        for card in ("true", "given")
        for part in ("train", "test")
    ]
    assert accuracies[0] == accuracies[2] == 100
    assert accuracies[1] > 75 and accuracies[3] < 20
    shown = browser.execute_script(SHOWN + "return all.map((tile) => tile.innerText)")
    given = [re.findall(r"(?:given|says) (\d)", text) for text in shown]
    assert len(given) == 36 and all(label == answer for label, answer in given)
    labels = datasets.named("mnist_5k", live.SIZE).y_train
    random = corruptions.corrupt_labels(labels, 1, 10, 0)[:36]
    assert [int(label) for label, _ in given] == random.tolist()


def test_it_asks_for_nothing_and_reports_no_error(opened):
    browser, _ = opened
    assert browser.get_log("browser") == []
    asked = [x for x in requests_of(browser) if not x.startswith(("data:", "blob:"))]
    assert asked == [live.PAGE.as_uri()]


def test_its_labels_are_those_of_label_corruption(opened):
    browser, _ = opened
    labels = datasets.named("mnist_5k", live.SIZE).y_train
    for level in range(live.LEVELS + 1):
        ours = corruptions.corrupt_labels(labels, level / live.LEVELS, 10, 0)
        assert browser.execute_script(f"return corrupted({level})") == ours.tolist()


def test_its_losses_are_those_of_a_record(opened, tmp_path):
    """The same weights, order and labels: 50 epochs, with weight decay."""
    browser, _ = opened
    flags = "--dataset mnist_5k --train-size 200 --label-corruption 0.5 --hidden 32 "
    flags += "--wd 0.001 --lr 0.05 --lr-decay 1 --batch-size 50 --epochs 50 "
    flags += f"--precision float32 --save-init --quiet --results-dir {tmp_path} "
    command = shlex.split(f"{flags} --models-dir {tmp_path}")
    regime, options = commands.parse(shlex.join(["cifar10_mlp.py", *command]))
    cifar10_mlp.main(command)
    rows = records.read_rows(tmp_path / f"{options.name}.csv")
    weights = models.load(tmp_path / f"{options.name}_init.h5").get_weights()
    labels = corruptions.corrupt(datasets.load(regime), regime).y_train
    orders = [
        pipelines.plan(len(labels), (), regime.seed, epoch)["order"].tolist()
        for epoch in range(len(rows))
    ]
    flat = [w.astype(np.float64).ravel().tolist() for w in weights]
    theirs = browser.execute_script(TRAIN, flat, orders, labels.tolist(), regime.wd)
    ours = [[float(x["train_cross_entropy"]), float(x["train_accuracy"])] for x in rows]
    difference = np.abs(np.subtract(theirs, ours))[:, 0].max()
    assert len(ours) == 50 and ours[-1][0] < 0.5 * ours[0][0]
    assert difference < 1e-5


def test_its_command_is_one_of_the_collection(opened):
    browser, _ = opened
    choose(browser, corruption=7, width=3, decay=4, size=150)
    command = find(browser, "#command").text.removeprefix("python ")
    regime, _ = commands.parse(command)
    assert (regime.label_corruption, regime.hidden) == (0.35, (32,))
    assert (regime.wd, regime.train_size) == (0.003, 150)
    whole = "return [...document.querySelectorAll('#command span')].map((word) =>"
    whole += " [word.textContent, word.getClientRects().length])"
    size(browser, 360)
    words = browser.execute_script(whole)
    size(browser, 1280)
    assert [word for word, _ in words] == ["python", *command.split()]
    assert {lines for _, lines in words} == {1}
    finished(browser)
    assert browser.execute_script("return runs[1].labels.length") == 150


def test_it_works_by_keys(opened):
    browser, _ = opened
    choose(browser, corruption=20, width=6, decay=0, size=500)  # takes a while
    slider = find(browser, "#size")
    browser.execute_script("arguments[0].focus()", slider)
    slider.send_keys("\ue012")  # left
    assert find(browser, "output[for=size]").text == "450"
    assert slider.get_attribute("aria-valuetext") == "450"
    go = find(browser, "#go")
    go.send_keys(" ")
    assert go.text == "Go on"
    before = browser.execute_script("return runs.map((run) => run.rows.length)")
    browser.execute_async_script("setTimeout(arguments[0], 200)")
    assert browser.execute_script("return runs.map((r) => r.rows.length)") == before
    go.send_keys(" ")
    finished(browser)


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_nothing_is_wider_than_the_window(opened, width):
    browser, _ = opened
    size(browser, width)
    needed, widest = browser.execute_script(
        "const all = [...document.querySelectorAll('main *')];"
        "return [document.documentElement.scrollWidth,"
        " Math.max(...all.map((e) => e.getBoundingClientRect().right))]"
    )
    assert max(needed, widest) <= width


def test_readme_and_our_report_lead_to_it():
    root = live.PAGE.parents[1]
    text = page.render(root / "results", [], [], {}, "", "", "")
    (link,) = re.findall(r'href="([^"]*live.html)"', text)
    assert (root / "results" / link).resolve() == live.PAGE
    assert "(docs/live.html)" in (root / "README.md").read_text("utf-8")
    where = "--results-dir x"
    assert "live.html" not in page.render(root, [], [], {}, "", where, "")


def test_light_and_dark(opened):
    browser, _ = opened
    look = "const s = getComputedStyle(document.body); return [s.color, s.background]"
    size(browser, 1280)
    light = browser.execute_script(look)
    size(browser, 1280, "dark")
    dark = browser.execute_script(look)
    assert light[1].startswith("rgb(255, 255, 255)")
    assert dark[1].startswith("rgb(20, 24, 29)") and dark[0] != light[0]
