"""The notebooks: their sources agree, they run at a small size, and find the code."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))
import labs  # noqa: E402

pytestmark = pytest.mark.usefixtures("sound_files")

NAMES = [str(path.relative_to(ROOT / "notebooks")) for path in labs.SOURCES]
SMALL = r"^IMAGES, EPOCHS = (\d+), (\d+)$"


def cells(source):
    return [x for x in jupytext.read(source).cells if x.cell_type == "code"]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_made_of_its_source_and_has_no_outputs(name):
    source = ROOT / "notebooks" / name
    made = source.with_suffix(".ipynb").read_text("utf-8")
    assert made == labs.notebook(source), "python notebooks/labs.py build"
    code = [x for x in nbformat.reads(made, 4).cells if x.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code)
    # The collection's first import keeps TensorFlow's log from the reader.
    assert not re.search(r'"(import|from) (keras|tensorflow)', made)


def test_every_notebook_has_a_source():
    found = {path.with_suffix(".py") for path in ROOT.glob("notebooks/**/*.ipynb")}
    assert found == set(labs.SOURCES) and len(labs.LABS) == 6


@pytest.mark.parametrize("source", labs.LABS, ids=lambda path: path.stem)
def test_a_lab_says_its_time_and_has_room_for_answers(source):
    text = source.read_text("utf-8")
    said = " ".join(text.replace("\n# ", " ").split())
    assert re.search(r"\*\d+ minutes in class\. All cells together compute for", said)
    assert text.count("*Your answer:*") >= 3
    assert not re.search(r"^\s*(def|class) |lambda", text, re.MULTILINE)
    solved = (labs.HERE / "solutions" / source.name).read_text("utf-8")
    asked = re.findall(r"\*\*((?:Question|Explain) \d)[.*]", text)
    assert asked and all(question in solved for question in asked)


# The first cell.


def test_all_begin_alike():
    assert len({cells(source)[0].source for source in labs.SOURCES}) == 1


def first_cell(folder, address=""):
    """Runs the first cell in a folder; returns what it prints and says at its end."""
    code = cells(labs.SOURCES[0])[0].source
    code = code.replace('ADDRESS = ""', f'ADDRESS = "{address}"')
    code += "\nprint(os.getcwd())"
    pip = folder / "bin" / "pip.py"  # nothing is installed by a test
    pip.parent.mkdir(exist_ok=True)
    pip.write_text("import sys; print('pip', *sys.argv[1:])")
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(pip.parent)},
        capture_output=True,
        text=True,
    )
    return run.returncode, run.stdout, run.stderr


def test_without_code_or_address_one_line_says_what_to_do(tmp_path):
    code, _, said = first_cell(tmp_path)
    assert code == 1 and len(said.splitlines()) == 1
    assert "clone" in said and "rethinking.zip" in said and "make archive" in said


def some_code(folder):
    folder.mkdir(parents=True)
    for name in ("cifar10_mlp.py", "requirements.txt"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("place", (".", "notebooks", "notebooks/solutions"))
def test_in_a_clone_it_goes_to_its_root(tmp_path, place):
    root = some_code(tmp_path / "clone")
    (root / place).mkdir(parents=True, exist_ok=True)
    code, said, error = first_cell(root / place)
    assert (code, said.strip(), error) == (0, str(root), "")


@pytest.mark.parametrize("how", ("archive", "address"))
def test_it_fetches_the_code(tmp_path, how):
    lies = some_code(tmp_path / "elsewhere" / "rethinking")
    here, address = tmp_path / "here", ""
    here.mkdir()
    if how == "archive":
        shutil.make_archive(here / "rethinking", "zip", lies.parent)
    else:
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "-C", str(lies)]
        for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
            subprocess.run([*git, *words], check=True)
        address = lies.as_uri()
    code, said, error = first_cell(here, address)
    assert code == 0, error
    *installed, place = said.splitlines()
    assert place == str(here / "rethinking")
    assert installed == ["pip install -q -r rethinking/requirements.txt"]


@pytest.mark.parametrize(
    "url, badge",
    [
        ("https://github.com/owner/repo.git", "/github/owner/repo/blob/main/"),
        ("https://example.org/owner/repo/", ""),
    ],
)
def test_an_address_is_written_wherever_it_is_needed(tmp_path, url, badge):
    shutil.copytree(labs.HERE, tmp_path / "notebooks")
    for name in ("README.md", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path)
    plain = url.removesuffix("/").removesuffix(".git")
    for address in ("https://github.com/some/other", url, url):  # once more
        labs.address(address, tmp_path)
    for name in NAMES:
        text = (tmp_path / "notebooks" / name).read_text("utf-8")
        assert re.findall(r'^ADDRESS = "(.*?)"', text, re.MULTILINE) == [plain]
    cited = yaml.safe_load((tmp_path / "CITATION.cff").read_text("utf-8"))
    assert cited["repository-code"] == plain and cited["license"] == "MIT"
    text = (tmp_path / "README.md").read_text("utf-8")
    assert text.count("Open in Colab") == bool(badge) and badge in text
    rest = re.sub(r"^\[!\[Open in Colab.*\n\n", "", text, flags=re.MULTILINE)
    ours = (ROOT / "README.md").read_text("utf-8")
    assert rest == re.sub(r"^\[!\[Open in Colab.*\n\n", "", ours, flags=re.MULTILINE)


@pytest.mark.parametrize("url", ["", "git@github.com:a/b", "http://x/y", "https://x"])
def test_what_is_no_address_is_refused(tmp_path, url):
    with pytest.raises(ValueError, match="expected https://"):
        labs.address(url, tmp_path)


# All cells, in this process.


@pytest.fixture(scope="module")
def shell(tmp_path_factory, blank_pictures):
    """IPython in a folder that has the code, as a notebook's kernel would be."""
    import keras
    import matplotlib
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        def enable_gui(self, gui=None):  # %matplotlib asks for none
            pass

    root = tmp_path_factory.mktemp("clone")
    for path in (*ROOT.glob("*.py"), ROOT / "common", ROOT / "results"):
        (root / path.name).symlink_to(path)
    (root / "notebooks").mkdir()
    (root / "saved_models").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root / "notebooks")
        patch.setattr(sys, "path", [*sys.path])
        patch.setenv("HOME", str(root))  # no data set lies here
        patch.setenv("IPYTHONDIR", str(root / "ipython"))
        backend = matplotlib.get_backend()
        from common.models import alexnet, inception, mlp

        build = mlp.mlp

        def narrow(input_shape, num_classes, hidden=(512,), *others, **named):
            return build(input_shape, num_classes, (8,) * len(hidden), *others, **named)

        def small(input_shape, num_classes, wd=0.0, dropout=0.0, batch_norm=True):
            return build(input_shape, num_classes, (8,), wd, dropout)

        # A graph of Inception takes as long as all the rest of the notebooks, and that
        # of any network longer than its few steps.
        patch.setattr(mlp, "mlp", narrow)
        patch.setattr(alexnet, "small_alexnet", small)
        patch.setattr(inception, "small_inception", small)
        patch.setattr(keras.Model, "run_eagerly", property(lambda _: True, _ignore))
        config = {"HistoryManager": {"enabled": False}}
        config |= {"InteractiveShell": {"cache_size": 0}}  # of what cells return
        shell = Shell.instance(config=Config(config))
        # Whether a picture is drawn would be no matter: IPython prints why not.
        shell.display_formatter.active_types = ["text/plain"]
        yield shell
        Shell.clear_instance()
        matplotlib.use(backend)


def _ignore(*_):
    pass


SOLVED = [x for pair in zip(labs.LABS, labs.SOLUTIONS, strict=True) for x in pair]


@pytest.mark.parametrize("source", SOLVED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_it_runs(source, shell, capsys):
    """Each after its lab, whose runs a solution reads."""
    shell.reset(new_session=False)
    for cell in cells(source):
        text = re.sub(SMALL, "IMAGES, EPOCHS = 80, 2", cell.source, flags=re.MULTILINE)
        text = text.replace("10 * EPOCHS", "EPOCHS")
        result = shell.run_cell(text)
        assert result.success, f"{cell.source}\n{result.error_in_exec!r}"
    said = capsys.readouterr()
    lines = (said.out + said.err).splitlines()
    assert not [x for x in lines if re.search(r"absl::|^[IWE]\d{4} |epoch +\d+/", x)]
