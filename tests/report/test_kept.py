"""What was drawn is drawn again where what it was made of changed, and only there."""

import os
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image

import report
from common.report import kept, pictures, style
from common.sweep import artefacts


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """An empty folder of what is kept."""
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "kept")


@pytest.fixture
def made(elsewhere, monkeypatch):
    """List of the names of what is drawn or encoded."""
    names, draw, encode = [], style.Sketch.draw, pictures._encoded
    monkeypatch.setattr(style, "DPI", 50)
    monkeypatch.setattr(
        style.Sketch, "draw", lambda self, stem: names.append(stem) or draw(self, stem)
    )
    monkeypatch.setattr(
        pictures, "_encoded", lambda png: names.append("WebP") or encode(png)
    )
    kept._drawing.cache_clear()
    yield names
    kept._drawing.cache_clear()


def redrawn(folder, made):
    """What a report draws and encodes, sorted, and the bytes of all that it leaves."""
    made.clear()
    report.main(["--results-dir", str(folder)])
    files = {path.name: path for path in folder.rglob("*") if path.is_file()}
    return sorted(made), {name: path.read_bytes() for name, path in files.items()}


def test_only_what_changed_is_drawn_again(tmp_path, make_up, made, monkeypatch):
    folder = tmp_path / "results"
    make_up(folder, next(iter(artefacts.ARTEFACTS["other_data"].runs.values())))
    make_up(folder, "imdb_text.py")
    (folder / "figures").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "figures" / "compare.png")
    first, files = redrawn(folder, made)
    assert first == ["WebP", "other_data", "text"]
    assert redrawn(folder, made) == ([], files)

    make_up(folder, "imdb_text.py", test=0.25)
    again, others = redrawn(folder, made)
    assert again == ["text"]
    changed = {name for name in files if others[name] != files[name]}
    records = {"imdb_text_seed0.json", "imdb_text_seed0.csv"}
    written = {"report.html", "README.md", "text.png", "text.svg"}
    assert changed == records | written
    make_up(folder, "imdb_text.py")
    assert redrawn(folder, made) == ([], files)

    Image.new("RGB", (8, 8), "red").save(folder / "figures" / "compare.png")
    (folder / "figures" / "text.png").write_bytes(files["other_data.png"])
    (folder / "figures" / "text.svg").unlink()
    again, others = redrawn(folder, made)
    assert again == ["WebP"]
    changed = {name for name in files if others[name] != files[name]}
    assert changed == {"compare.png", "report.html"}

    shutil.copytree(kept.CODE, tmp_path / "common")
    assert Path(style.__file__).is_relative_to(kept.CODE)
    monkeypatch.setattr(kept, "CODE", tmp_path / "common")
    kept._drawing.cache_clear()
    assert redrawn(folder, made) == ([], others)  # where it lies is no matter
    with open(tmp_path / "common" / "report" / "style.py", "a") as file:
        file.write("\n")
    kept._drawing.cache_clear()
    assert redrawn(folder, made) == (first, others)


def test_what_is_kept_may_be_damaged_or_nowhere(elsewhere, monkeypatch, tmp_path):
    calls = []

    def make():
        calls.append(1)
        return "four"

    for _ in range(2):
        assert kept.once([1], make, str) == "four"
    assert len(calls) == 1
    for damaged in (b"", b"\xa4fou", b"\x04"):
        (path,) = kept.FOLDER.iterdir()
        path.write_bytes(damaged)
        assert kept.once([1], make, str) == "four"
    assert len(calls) == 4
    monkeypatch.setattr(kept, "FOLDER", path)  # is a file
    assert kept.once([1], make, str) == "four"
    assert len(calls) == 5


def test_what_nobody_asks_for_is_removed(elsewhere):
    kept.clear()  # of nothing
    for text in "ab":
        kept.once(text, lambda text=text: text, str)
    for path in kept.FOLDER.iterdir():
        month = time.time() - (kept.DAYS + 1) * 24 * 3600
        os.utime(path, (month, month))
    assert kept.once("b", lambda: "again", str) == "b"
    kept.clear()
    assert len(list(kept.FOLDER.iterdir())) == 1
    assert kept.once("b", lambda: "again", str) == "b"
