"""Imports point down: read from the source with ast, and from a running process."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted(ROOT.glob("*.py"))
# Without Keras, so that `report.py` and `--help` answer in a second.
LIGHT = [
    "common.sweep.artefacts",
    "common.augmentations",
    "common.cli",
    "common.sweep.cluster",
    "common.corruptions",
    "common.datasets",
    "common.report.gallery",
    "common.report.kernel_figures",
    "common.report.levels",
    "common.report.markdown",
    "common.report.model_figures",
    "common.report.names",
    "common.report.norm_figures",
    "common.report.paper_figures",
    "common.image_files.imagenet",
    "common.engine.machine",
    "common.report.style",
    "common.report.page",
    "common.report.tables",
    "common.report.theory_figures",
    "common.records",
    "common.regime",
    "common.reviews",
    "common.sweep.runner",
    "report",
    "reproduce",
]
HEAVY = {"keras", "tensorflow", "jax", "torch"}


def path_of(module):
    """The file of a module of the project, or None for any other module."""
    path = ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def nodes(tree, inside_functions):
    """Every node of a file, or those that run when it is imported."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if inside_functions or not isinstance(node, ast.FunctionDef):
            waiting += ast.iter_child_nodes(node)


def imports(path, inside_functions=True):
    """Full names of what a file imports."""
    names = set()
    for node in nodes(ast.parse(path.read_text()), inside_functions):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"  # a module, or a name in one
                names.add(full if path_of(full) else node.module)
    return names


COMMON = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): (
        imports(path)
    )
    for path in sorted(ROOT.glob("common/**/*.py"))
}


def reachable(module):
    """All that importing a module imports, packages' own files included.

    What a function imports when it is called is left out: `report.py --gallery` may
    load Keras, `report.py` may not.
    """
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if path := path_of(name):
            waiting += imports(path, inside_functions=False)
        if "." in name:
            waiting.append(name.rpartition(".")[0])
    return {name.split(".")[0] for name in found} | found


def test_there_is_something_to_walk():
    assert "common.training" in COMMON and "common.models.alexnet" in COMMON
    assert "common.pipelines" in imports(ROOT / "cifar10_alexnet.py")
    assert "keras" in reachable("common.training")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_common_and_no_script(script):
    scripts = {path.stem for path in SCRIPTS}
    assert not {name.split(".")[0] for name in imports(script)} & scripts


def test_common_imports_no_script():
    scripts = {path.stem for path in SCRIPTS} | {"tests", "benchmarks"}
    for module, names in COMMON.items():
        assert not {name.split(".")[0] for name in names} & scripts, module


def test_no_circles():
    done = set()

    def visit(module, path):
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for name in COMMON[module] & COMMON.keys():
                visit(name, [*path, module])
            done.add(module)

    for module in COMMON:
        visit(module, [])


@pytest.mark.parametrize("module", [name for name in LIGHT if path_of(name)])
def test_light_modules_import_no_keras(module):
    assert not reachable(module) & HEAVY


DRAWING = {"report"}  # it asks what figures there are


@pytest.mark.parametrize("script", [p.stem for p in SCRIPTS if p.stem not in DRAWING])
def test_scripts_draw_last_and_import_matplotlib_then(script):
    assert "matplotlib" not in reachable(script)


@pytest.mark.parametrize("room", ("levels", "names", "style", "tables"))
def test_what_the_page_needs_of_figures_is_light(room):
    assert "matplotlib" not in reachable(f"common.report.{room}")


def test_light_modules_load_no_keras_when_run():
    modules = ", ".join(m for m in LIGHT if m.startswith("common.") and path_of(m))
    code = f"import sys, {modules}; print(sorted({HEAVY} & set(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert output.stdout.strip() == "[]", output.stderr


def test_tensorflow_is_imported_where_it_must_be():
    users = {m for m, names in COMMON.items() if "tensorflow" in " ".join(names)}
    # tf.data; second derivatives; one XLA program for many networks; images; devices;
    # a fused op.
    usual = "pipelines analysis.hessian engine.replicas engine.devices models.layers"
    usual = {f"common.{room}" for room in usual.split()}
    assert users <= usual | {"common.image_files.decoding"}
    for module, names in COMMON.items():  # one Keras, whatever the backend
        assert not any(
            name.startswith(("tensorflow.keras", "tf_keras")) for name in names
        )
        others = {name.split(".")[0] for name in names} & {"jax", "torch"}
        # Whether several processes agree, Keras has no word for.
        assert others <= ({"jax"} if module == "common.engine.devices" else set()), (
            module
        )


def test_no_drawer_for_everything():
    assert not [p for p in ROOT.glob("common/**/*.py") if p.stem in ("utils", "misc")]
