"""notebooks/colab.ipynb from top to bottom, offline and with a tiny network."""

import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "colab.ipynb"
TINY = "--dataset mnist_5k --train-size 200 --random-labels --hidden 64 --epochs 3 "
TINY += "--precision float32"  # that of the saved model: the numbers agree exactly
TINY += " --seed 3"
NAME = "cifar10_mlp_mnist_5k_n200_labels1_hidden64_epochs3_float32_seed3"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook's code cells, run in a copy of the code, with what they printed."""
    copy = tmp_path_factory.mktemp("clone")
    for path in [*ROOT.glob("*.py"), ROOT / "requirements.txt"]:
        shutil.copy(path, copy)
    shutil.copytree(ROOT / "common", copy / "common")
    (copy / "notebooks").mkdir()
    (copy / "results").mkdir()
    (copy / "results" / f"{NAME}.json").write_text("{}")  # a record of somebody else's
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.source = re.sub(r'FLAGS = "[^"]*"', f'FLAGS = "{TINY}"', cell.source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")  # all is installed: nothing to fetch
        patch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        for name in [name for name in os.environ if name.startswith("TF_CPP")]:
            patch.delenv(name)
        NotebookClient(
            notebook,
            timeout=300,
            kernel_name="python3",
            resources={"metadata": {"path": str(copy / "notebooks")}},
        ).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell):
    texts = (output.get("text", "") for output in cell.outputs)
    return "".join(texts)


def test_it_trains_and_says_nothing_on_stderr(executed):
    """Every line of a training, stderr among them: in a process of its own."""
    (training,) = [cell for cell in executed if "*shlex.split(FLAGS)" in cell.source]
    weights = f"{784 * 64 + 64 + 64 * 10 + 10:,}"  # kernels and biases
    lines = [
        # What was asked for is answered before Keras is there, and then what it is.
        rf"{NAME}: loading Keras and the data \.\.\.",
        NAME,
        " +data +mnist_5k: 200 examples to train on, 1,000 to test on, .* labels wrong",
        f" +network +mlp, {weights} parameters",
        " +device +.*, float32",
        " +takes +3 epochs at most; an estimate of the time follows the first",
        rf" +files +mine/{NAME}\.csv and \.json, saved_models/{NAME}\.h5",
        " +epoch +loss +train +test +time +left",
        *(rf" +{epoch}/3( +\S+)+" for epoch in (1, 2, 3)),
        "",
        ".*Test accuracy.*",
        rf"Files: saved_models/{NAME}\.h5  mine/{NAME}\.csv  mine/{NAME}\.json",
    ]
    assert re.fullmatch("\n".join(lines), printed(training).rstrip())


def test_it_draws_the_history(executed):
    (drawing,) = [cell for cell in executed if "plt.show" in cell.source]
    assert any("image/png" in output.get("data", {}) for output in drawing.outputs)


def test_the_model_it_loads_is_the_one_of_the_record(executed):
    said = printed(executed[-1])
    measured, recorded = re.findall(r"([\d.]+) %", said)
    assert measured == recorded and float(measured) > 0


def test_it_shows_no_line_of_tensorflows_own(executed):
    shown = "".join(printed(cell) for cell in executed)
    assert not re.search(r"absl::|^[IWE]\d{4} ", shown, re.MULTILINE)


def test_it_is_kept_without_outputs():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
