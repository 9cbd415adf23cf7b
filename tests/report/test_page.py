"""The report in a real browser: it renders, asks for nothing, sorts, fits a phone."""

import json
import os
import shutil
from xml.etree import ElementTree

import markdown_it
import pytest
from browsing import find, requests_of, size

import report
from common import csv_lines, schema
from common.sweep import artefacts

# Where the columns are, so that a test reads what a visitor reads.
COLUMN = """const [table, name] = arguments;
    const names = [...table.tHead.rows[0].cells].map((c) => c.innerText.split(" ")[0]);
    return [...table.tBodies[0].rows].map((r) => r.cells[names.indexOf(name)].innerText)
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory, make_up):
    """The address of a report of made-up records."""
    folder = tmp_path_factory.mktemp("results")
    for seed in range(2):
        make_up(folder, artefacts.TABLE_1[12], seed, 1.0, 0.76 + 0.01 * seed, fit=2)
        make_up(folder, artefacts.TABLE_1[13], seed, 1.0, 0.1)
    make_up(folder, artefacts.TABLE_1[18], 0, 1.0, 0.5051, fit=4)
    make_up(folder, artefacts.TABLE_1[19], 0, 0.9, 0.1, fit=None)
    # Its name is wider than a phone.
    make_up(folder, "cifar10_alexnet.py --random-crop --wd 5e-4 --precision float32")
    make_up(folder, "mnist_l2norm.py", verdict="It grows.")
    report.main(["--results-dir", str(folder)])
    return (folder / "report.html").as_uri()


@pytest.fixture
def page(browser, address):
    """That report, opened anew; returns the browser."""
    browser.get("about:blank")
    for log in ("browser", "performance"):
        browser.get_log(log)  # what was before
    size(browser, 1280)
    browser.get(address)
    return browser


def unfold(browser):
    browser.execute_script(
        "document.querySelectorAll('details').forEach((d) => (d.open = true))"
    )


def test_it_renders_without_an_error_or_a_request(page):
    assert "memorize" in find(page, "h1").text
    assert "76.50" in find(page, ".finding").text  # the mean of 76 and 77 %
    unfold(page)
    drawn = page.execute_script(
        "return [...document.querySelectorAll('figure svg')]"
        ".map((s) => s.getBoundingClientRect()).filter((b) => b.width * b.height > 0)"
        ".length"
    )
    assert drawn == len(page.find_elements("css selector", "figure svg")) > 10
    assert page.get_log("browser") == []  # errors, and what the policy blocked
    asked = requests_of(page)
    outside = [a for a in asked if not a.startswith(("file:", "data:"))]
    assert outside == []
    assert [a for a in asked if a.startswith("file:")] == [page.current_url]


def test_the_log_would_show_a_request_and_an_error(page):
    """The other test's two empty lists are no accident."""
    page.execute_script(
        "const image = new Image(); image.src = 'http://127.0.0.1:9/x.png';"
        "document.body.append(image)"
    )
    assert any(
        "Content Security" in line["message"] for line in page.get_log("browser")
    )
    page.get(page.current_url)
    assert page.current_url in requests_of(page)


def test_links_within_the_page_lead_somewhere(page):
    broken = page.execute_script(
        "return [...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.hash)"
        ".filter((hash) => !document.getElementById(hash.slice(1)))"
    )
    assert broken == []
    missing = page.execute_script(
        "return [...document.querySelectorAll('a')].map((a) => a.href)"
        ".filter((a) => a.startsWith('file:') && !a.includes('#'))"
    )
    assert missing  # records and figures
    folder = page.current_url.removeprefix("file://").rpartition("/")[0]
    for address in missing:
        assert os.path.exists(address.removeprefix("file://")), address
        assert address.startswith(f"file://{folder}/")


def test_sorting_by_click_and_by_key(page):
    table = find(page, "#table_1 table")
    rows = page.execute_script(COLUMN, table, "row")
    assert rows == [str(n) for n in range(1, 20)]
    button = next(
        b for b in table.find_elements("css selector", "button") if b.text == "test %"
    )
    page.execute_script("arguments[0].click()", button)
    heading = button.find_element("xpath", "..")
    assert heading.get_attribute("aria-sort") == "ascending"
    shown = page.execute_script(COLUMN, table, "test")
    assert [s.split()[0] for s in shown[:4]] == ["10.00", "10.00", "50.51", "76.50"]
    assert set(shown[4:]) == {"not yet run"}  # last, either way
    page.execute_script("arguments[0].focus()", button)
    page.switch_to.active_element.send_keys("\ue007")  # Enter
    assert heading.get_attribute("aria-sort") == "descending"
    shown = page.execute_script(COLUMN, table, "test")
    assert [s.split()[0] for s in shown[:2]] == ["76.50", "50.51"]
    assert set(shown[4:]) == {"not yet run"}


def test_hovering_over_a_point_shows_its_value(page):
    from selenium.webdriver import ActionChains

    dot = page.execute_script(
        "const dot = [...document.querySelectorAll('#table_1 circle')].find((c) => "
        "c.dataset.tip.includes('AlexNet, true labels: test'));"
        "dot.scrollIntoView({block: 'center'}); return dot"
    )
    assert not find(page, "#tip").is_displayed()
    ActionChains(page).move_to_element(dot).perform()
    assert find(page, "#tip").text == (
        "AlexNet, true labels: test accuracy 76.50 (76.00–77.00) %"
    )


def test_a_link_to_a_run_unfolds_it(page):
    run = find(page, "#run-cifar10_alexnet_seed0")
    assert not run.get_attribute("open")
    link = find(page, "#table_1 a[href='#run-cifar10_alexnet_seed0']")
    page.execute_script("arguments[0].click()", link)
    page.execute_async_script("setTimeout(arguments[0], 100)")
    assert run.get_attribute("open")
    assert find(page, "#run-cifar10_alexnet_seed0 svg").is_displayed()


@pytest.mark.parametrize("width", [375, 390, 1280])
def test_nothing_is_wider_than_the_window(page, width):
    size(page, width)
    unfold(page)
    assert page.execute_script("return innerWidth") == width
    needed, room = page.execute_script(
        "const d = document.documentElement; return [d.scrollWidth, d.clientWidth]"
    )
    assert needed <= room <= width


def test_light_and_dark(page):
    colours = (
        "const s = getComputedStyle(document.body); return [s.color, s.background]"
    )
    light = page.execute_script(colours)
    size(page, 1280, "dark")
    dark = page.execute_script(colours)
    assert light[1].startswith("rgb(255, 255, 255)")
    assert dark[1].startswith("rgb(20, 24, 29)") and dark[0] != light[0]
    axis = "return getComputedStyle(document.querySelector('figure svg text')).fill"
    assert page.execute_script(axis) == dark[0]  # figures turn with the page


def own(page, column):
    return page.execute_script(COLUMN, find(page, "#runs table"), column)


def test_all_runs_are_sorted(page):
    names = own(page, "run")
    assert names == sorted(names) and len(names) == 5
    table = find(page, "#runs table")
    button = next(
        b for b in table.find_elements("css selector", "button") if b.text == "gap"
    )
    page.execute_script("arguments[0].click()", button)
    gaps = [float(text.split()[0]) for text in own(page, "gap")]
    assert gaps == sorted(gaps) and gaps[0] != gaps[-1]
    assert own(page, "seeds")[0] == "2"  # of AlexNet with true labels: the least gap


def test_a_filter_narrows_the_table_and_the_curves(page):
    shown = (
        "return [...document.querySelectorAll(`#runs ${arguments[0]}`)]"
        ".filter((e) => e.getClientRects().length).length"
    )
    before = page.execute_script(shown, "polyline[data-run]")
    assert before == 2 * 7  # two of each run
    box = find(page, "#runs input")
    box.send_keys("mlp LABELS1")
    assert page.execute_script(shown, "tbody tr") == 1
    assert page.execute_script(shown, ".legend li") == 1
    assert page.execute_script(shown, "polyline[data-run]") == 2
    assert find(page, "#runs output").text == "1 of 5"
    box.clear()
    box.send_keys(" ")
    assert page.execute_script(shown, "tbody tr") == 5
    assert find(page, "#runs output").text == ""


def test_hovering_over_a_curve_names_its_run(page):
    page.execute_script(
        "document.querySelector('#runs polyline').dispatchEvent("
        "new PointerEvent('pointerover', {bubbles: true, clientX: 9, clientY: 9}))"
    )
    assert find(page, "#tip").text == "cifar10_alexnet_seed0: training accuracy"


@pytest.mark.parametrize("selector", ["#runs", "#table_1"])
def test_on_a_phone_the_first_column_stays(page, selector):
    size(page, 390)
    moved, first, second = page.execute_script(
        "const box = document.querySelector(`${arguments[0]} .scroll:has(table)`);"
        "const cells = box.querySelector('tbody tr').cells;"
        "const left = (c) => c.getBoundingClientRect().left;"
        "const before = [...cells].map(left);"
        "box.scrollLeft = 150;"
        "return [box.scrollLeft, ...[0, 1].map((i) => left(cells[i]) - before[i])]",
        selector,
    )
    assert (moved, first, second) == (150, 0, -150)


def test_letters_are_of_one_size_in_all_figures(page):
    scales = page.execute_script(
        "return [...document.querySelectorAll('.figures:not(.small) svg')]"
        ".map((s) => s.getBoundingClientRect().width / s.viewBox.baseVal.width)"
    )
    assert len(scales) > 3
    assert {round(scale, 2) for scale in scales} == {1.45}  # none fills its line


def test_numbers_stand_under_each_other(page):
    shown = page.execute_script(
        "return [...document.querySelector('#table_1 table').rows].map((r) => "
        "[...r.cells].map((c) => [c.innerText, getComputedStyle(c).textAlign]))"
    )
    column = [text.split()[0] for text, _ in shown[0]].index("test")
    assert {line[column][1] for line in shown} == {"right"}  # its heading, too


def test_on_a_phone_figures_scale(page):
    size(page, 390)
    wide = page.execute_script(
        "return [...document.querySelectorAll('figure svg, figure img')]"
        ".filter((e) => e.getBoundingClientRect().right > innerWidth).length"
    )
    assert wide == 0
    figure = find(page, "#table_1 figure .scroll")
    page.execute_script("arguments[0].focus()", figure)  # a tap enlarges it
    assert page.execute_script(
        "return arguments[0].scrollWidth > 1.5 * arguments[0].clientWidth", figure
    )


def test_at_1280_pixels_no_table_is_cut(page):
    unfold(page)
    cut = page.execute_script(
        "return [...document.querySelectorAll('.scroll:has(table)')]"
        ".filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.ariaLabel)"
    )
    assert cut == []
    main, contents = page.execute_script(
        "return ['main', 'nav'].map((s) => document.querySelector(s)"
        ".getBoundingClientRect()).map((b) => [b.left, b.right])"
    )
    assert contents[1] <= main[0] and main[1] - main[0] > 1000  # side by side


def test_links_out_of_the_page_say_that_they_need_its_folder(page):
    unmarked = page.execute_script(
        "return [...document.querySelectorAll('a')].filter((a) => "
        "a.protocol === 'file:' && !a.hash && !a.classList.contains('file')).length"
    )
    assert unmarked == 0
    assert "a copy of the page alone" in find(page, "main").text


def test_ids_are_of_one_element_and_references_lead_to_one(page):
    ids, used = page.execute_script(
        "const all = [...document.querySelectorAll('*')];"
        "const values = all.flatMap((e) => [...e.attributes]).map((a) => a.value);"
        "const form = /url\\(#(.+?)\\)|^#(.+)/g;"
        "const found = values.flatMap((v) => [...v.matchAll(form)]);"
        "return [all.map((e) => e.id).filter(Boolean), found.map((m) => m[1] ?? m[2])]"
    )
    assert len(ids) == len(set(ids))
    assert len(used) > 50 and set(used) <= set(ids)


# Markup, a quote that opens a handler, a scheme, a formula, a template, Markdown.
EVIL = (
    """"'><img src=x onerror=hacked=1><svg onload=hacked=1>' onmouseover='hacked=1' """
    r"""" onmouseover="hacked=1"&lt;b&gt;|[a](javascript:hacked=1)`<b>`$\frac${{7*7}}"""
)
FOREIGN = r"""
    const own = arguments[0];
    const bad = (e) => [...e.attributes].some(
        (a) => a.name.startsWith("on") || /^\s*javascript:/i.test(a.value))
        || (e.tagName === "IMG" && !/^(data:|figures\/)/.test(e.getAttribute("src")))
        || !own.includes(e.localName);
    const found = [...document.querySelectorAll("*")].filter(bad);
    return [typeof hacked, found.map((e) => e.outerHTML.slice(0, 200))]
"""


def evil(value):
    """A record's value with markup in the place of every text, keys included."""
    if isinstance(value, dict):
        return {k: evil(v) for k, v in value.items()} | {EVIL: EVIL}
    if isinstance(value, list):
        return [*map(evil, value), EVIL]
    return EVIL if isinstance(value, str) else value


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, make_up):
    """A folder with a report of records that the schema did not keep away."""
    folder = tmp_path_factory.mktemp("hostile") / f"{EVIL} runs"
    names = [make_up(folder, artefacts.TABLE_1[row]) for row in (12, 13, 18, 19)]
    names += [make_up(folder, "cifar10_mlp.py --random-labels --wd 1e-4")]
    names += [make_up(folder, "mnist_l2norm.py", verdict="It grows.")]
    for i, name in enumerate(names):
        path = folder / f"{name}.json"
        record = evil(json.loads(path.read_text())) | {"verdict": EVIL}
        path.write_text(json.dumps(record))
        # The same under a name that is hostile too.
        shutil.copy(path, folder / f"{EVIL}_seed{i}.json")
        if path.with_suffix(".csv").exists():
            shutil.copy(path.with_suffix(".csv"), folder / f"{EVIL}_seed{i}.csv")
    cell = '"{}"'.format(EVIL.replace('"', '""'))
    (folder / "mnist_l2norm.csv").write_text(f"{cell},size\n{cell},1\n{cell},2\n")
    (folder / "analysis.csv").write_text(f"model,trace\n{cell},{cell}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "check", lambda record, name: None)
        patch.setattr(csv_lines, "check", lambda record, rows: None)
        report.main(["--results-dir", str(folder)])
    return folder


def test_what_records_say_is_text_in_the_page(browser, address, hostile):
    browser.get(address)
    usual = browser.execute_script(
        "return [...document.querySelectorAll('*')].map((e) => e.localName)"
    )
    browser.get((hostile / "report.html").as_uri())
    unfold(browser)
    shown, attributes = browser.execute_script(
        "return [document.body.textContent, [...document.querySelectorAll('*')]"
        ".flatMap((e) => [...e.attributes]).map((a) => a.value)]"
    )
    assert shown.count(EVIL) > 50
    assert any(EVIL in value for value in attributes)
    browser.execute_script(
        "for (const e of document.querySelectorAll('main *')) for (const kind of "
        "['pointerover', 'mouseover', 'focus'])"
        "e.dispatchEvent(new PointerEvent(kind, {bubbles: true}))"
    )
    assert browser.execute_script(FOREIGN, [*{*usual}]) == ["undefined", []]


def test_what_records_say_is_text_in_markdown(browser, hostile, tmp_path):
    text = (hostile / "README.md").read_text(encoding="utf-8")
    render = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table")
    (tmp_path / "a.html").write_text(f'<meta charset="utf-8">{render.render(text)}')
    browser.get((tmp_path / "a.html").as_uri())
    shown, widths = browser.execute_script(
        "return [document.body.textContent, [...document.querySelectorAll('table')]"
        ".map((t) => new Set([...t.rows].map((r) => r.cells.length)).size)]"
    )
    assert shown.count(EVIL) > 20
    own = "html head meta body h1 h2 p a code strong em img table thead tbody tr th td"
    assert browser.execute_script(FOREIGN, own.split()) == ["undefined", []]
    assert {*widths} == {1}  # no cell more by a "|"


def test_what_records_say_is_text_in_figures(hostile):
    said = ""
    for path in hostile.glob("figures/*.svg"):
        for element in ElementTree.parse(path).iter():
            assert element.tag.rpartition("}")[2] not in {"script", "img", "image"}
            assert not [name for name in element.attrib if name.startswith("on")]
            said += element.text or ""
    assert EVIL in said
