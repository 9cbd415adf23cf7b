"""Imports point down, by folder: read from the source, and from a running process."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted(ROOT.glob("*.py"))

# What each room of common/ may import, beside itself. A room is a file or a folder.
DATA = "cli augmentations datasets reviews corruptions"
FLAGS = "settings flag_types shared_settings"
HALL = f"{DATA} {FLAGS} experiments regime command_line pipelines training resumable"
HALL += " records verdicts memory"
MAY_IMPORT = {
    "cli": "",
    "settings": "cli",
    "flag_types": "",
    "augmentations": "",
    "schema": f"{FLAGS} experiments regime",
    "csv_lines": "schema experiments",
    "records": "cli schema csv_lines",
    "verdicts": "cli records",
    "quiet": "",
    "keras_defaults": "cli quiet",
    "sources": "cli",
    "datasets": "cli sources",
    "reviews": "cli sources datasets",
    "corruptions": "cli augmentations datasets reviews",
    "memory": "cli settings datasets engine",
    "shared_settings": "cli settings flag_types datasets reviews",
    "experiments": f"cli {FLAGS} datasets",
    "regime": f"cli {FLAGS} experiments augmentations datasets",
    "command_line": f"cli {FLAGS} regime memory",
    "pipelines": DATA,
    "image_files": f"{DATA} sources pipelines",
    "examples": "cli records verdicts",
    "models": "cli records",
    "engine": f"{DATA} pipelines records verdicts models examples",
    "training": f"keras_defaults {DATA} pipelines records verdicts models engine",
    "resumable": "cli records verdicts models engine",
    "analysis": "cli models engine",
    "theory": f"{HALL} models engine analysis",
    "sweep": f"{HALL} engine",
    "report": f"{HALL} examples sweep",
}
# What answers a command line: it loads neither Keras nor Matplotlib.
ANSWERS = f"cli {FLAGS} experiments regime command_line memory".split()
ANSWERS += "schema csv_lines records verdicts sweep".split()
# No Keras either, so that a report is drawn and data are looked at without it.
LIGHT = "datasets reviews corruptions augmentations sources examples report".split()
LIGHT += ["image_files.imagenet", "engine.machine"]  # a reader; memory, processes
HEAVY_PLACES = {"common.report.gallery"}  # shows batches as the pipeline makes them
KERAS = {"keras", "tensorflow", "jax", "torch"}


@functools.cache
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


@functools.cache
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


def room(module):
    """`analysis` of `common.analysis.norms`; empty for `common` itself."""
    return module.split(".")[1] if "." in module else ""


def modules(names):
    """The modules in those rooms of `common`, or of those names, that exist."""
    return [
        module
        for module in COMMON
        if room(module) in names or module.removeprefix("common.") in names
    ]


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


def test_the_rule_names_every_room_and_no_other():
    rooms = {room(module) for module in COMMON} - {""}
    assert set(MAY_IMPORT) == rooms
    named = {name for names in MAY_IMPORT.values() for name in names.split()}
    assert named | set(ANSWERS) <= set(MAY_IMPORT)
    for name in LIGHT:
        assert path_of(f"common.{name}"), name
    assert set(COMMON) >= HEAVY_PLACES


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_room_imports_only_what_lies_below(name):
    allowed = {name, *MAY_IMPORT[name].split()}
    for module in modules([name]):
        for other in COMMON[module] & COMMON.keys() - {"common"}:
            pair = module.removeprefix("common."), other.removeprefix("common.")
            assert room(other) in allowed, pair


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


@pytest.mark.parametrize("module", sorted({*modules(ANSWERS + LIGHT)} - HEAVY_PLACES))
def test_light_modules_import_no_keras(module):
    heavy = KERAS | ({"matplotlib"} if room(module) in ANSWERS else set())
    assert not reachable(module) & heavy


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_answers_without_keras_and_matplotlib(script):
    assert not reachable(script.stem) & (KERAS | {"matplotlib"})


def test_matplotlib_is_imported_where_something_is_drawn():
    for module in modules(["report"]):
        name = module.rpartition(".")[2]
        draws = name in ("style", "kept", "gallery") or name.endswith("_figures")
        used = {other.split(".")[0] for other in COMMON[module]}
        assert draws or "matplotlib" not in used, module
    assert "matplotlib" not in reachable("common.report.tables")


LIGHT_ROOMS = "levels names published reading stats style table_rows tables".split()


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_what_the_page_needs_of_figures_is_light(room):
    assert "matplotlib" not in reachable(f"common.report.{room}")


def test_light_modules_load_no_keras_when_run():
    answers = modules(ANSWERS)
    light = sorted({*modules(LIGHT)} - HEAVY_PLACES)
    code = f"""
import importlib, sys
for modules, heavy in (({answers}, {KERAS | {"matplotlib"}}), ({light}, {KERAS})):
    for module in modules:
        importlib.import_module(module)
        assert not heavy & set(sys.modules), module
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_tensorflow_is_imported_where_it_must_be():
    users = {m for m, names in COMMON.items() if "tensorflow" in " ".join(names)}
    # tf.data; second derivatives; gradients in the input; one XLA program for many
    # networks; devices; fused ops; images.
    usual = "pipelines analysis.hessian analysis.sensitivity engine.replicas"
    usual += " engine.devices engine.updates models.layers image_files.decoding"
    assert users <= {f"common.{name}" for name in usual.split()}
    for module, names in COMMON.items():  # one Keras, whatever the backend
        assert not any(
            name.startswith(("tensorflow.keras", "tf_keras")) for name in names
        )
        others = {name.split(".")[0] for name in names} & {"jax", "torch"}
        # Keras has no word for whether several processes agree, nor for an epoch that
        # is one compiled loop.
        may = ("common.engine.devices", "common.engine.device_epochs")
        assert others <= ({"jax"} if module in may else set()), module


def test_no_drawer_for_everything():
    assert not [p for p in ROOT.glob("common/**/*.py") if p.stem in ("utils", "misc")]
