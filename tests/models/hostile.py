"""Damaged and hostile model files, a kind at a time.

python tests/models/hostile.py FOLDER makes some 400 of them, opens each as the scripts
do, and counts: every one is refused in one line, or opens without running anything.
"""

import copy
import io
import json
import os
import resource
import sys
import time
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
OURS = "rethinking>ShiftedReLU"
MODULE = "common.models.layers"


def network():
    """A small classifier with a layer of each family."""
    import keras

    inputs = keras.Input((6, 6, 1), name="input_layer")
    x = keras.layers.Conv2D(3, 3, activation="relu", name="conv")(inputs)
    x = keras.layers.Flatten(name="flat")(keras.layers.BatchNormalization()(x))
    return keras.Model(inputs, keras.layers.Dense(4, name="last")(x))


def lambda_layer(marker):
    """A Lambda as files hold it, which leaves a file where it is run."""
    import keras

    def code(x, marker=str(marker)):
        open(marker, "w").close()
        return x

    code.__name__ = "<lambda>"
    return keras.layers.Lambda(code, output_shape=(6, 6, 1), name="evil").get_config()


def configs(config, code):
    """`{kind: configuration}` of hostile ones, made from a sound one.

    Args:
        config: Of `network`, as a file holds it.
        code: The configuration of `lambda_layer`.
    """
    found = {}

    def changed(kind, layer="conv", **change):
        new = found[kind] = copy.deepcopy(config)
        (entry,) = (x for x in new["config"]["layers"] if x["name"] == layer)
        entry.update(change)
        return entry

    def argument(kind, layer="conv", **change):
        changed(kind, layer)["config"].update(change)

    lambdas = {
        "plain": {"class_name": "Lambda"},
        "claims to be ours": {"class_name": "Lambda", "registered_name": OURS},
        "lives with ours": {
            "class_name": "Lambda",
            "registered_name": OURS,
            "module": MODULE,
        },
        "has our name": {"class_name": OURS},
        "has our name and home": {
            "class_name": "ShiftedReLU",
            "registered_name": OURS,
            "module": MODULE,
        },
        "of keras.layers": {"class_name": "Lambda", "module": "keras.layers"},
        "registered as Dense": {
            "class_name": "Lambda",
            "module": "keras.layers",
            "registered_name": "Dense",
        },
        "Dense registered as Lambda": {
            "class_name": "Dense",
            "registered_name": "Lambda",
        },
        "of its own module": {
            "class_name": "Lambda",
            "module": "keras.src.layers.core.lambda_layer",
        },
        "Dense of its module": {
            "class_name": "Dense",
            "module": "keras.src.layers.core.lambda_layer",
        },
        "with a space": {"class_name": "Lambda ", "module": "keras.layers"},
        "by a path": {"class_name": "layers.Lambda", "module": "keras"},
        "old package": {"class_name": "Keras>Lambda"},
        "another package": {"class_name": "x>Lambda", "registered_name": "x>Lambda"},
    }
    for kind, change in lambdas.items():
        changed(f"Lambda {kind}", module=None, config=code).update(change)
        entry = found[f"Lambda {kind}"]["config"]["layers"][1]
        for wrapper in ("TimeDistributed", "Bidirectional", "RNN", "Wrapper"):
            if kind in ("plain", "claims to be ours"):
                inner = {"class_name": entry["class_name"], "config": code}
                kept = {"name": "conv", "layer": inner, "cell": inner}
                changed(f"Lambda {kind} in {wrapper}", class_name=wrapper, config=kept)
        for model in ("Sequential", "Functional", "Model"):
            if kind in ("plain", "claims to be ours"):
                inside = {"layers": [entry], "name": "conv"}
                inside |= {"input_layers": [], "output_layers": []}
                for depth in range(3):
                    name = f"Lambda {kind} in {model} {depth + 1} deep"
                    changed(name, class_name=model, config=copy.deepcopy(inside))
                    deeper = {"class_name": model, "name": "m", "inbound_nodes": []}
                    inside = {**inside, "layers": [{**deeper, "config": inside}]}
    lambda_of = {"class_name": "__lambda__", "config": code.get("function")}
    layer = {"class_name": "Lambda", "config": code, "module": "keras.layers"}
    system = {"module": "os", "class_name": "function", "config": "system"}
    system |= {"registered_name": "system"}
    popen = {"module": "subprocess", "class_name": "Popen", "registered_name": None}
    popen["config"] = {"args": "true"}
    objects = {"a lambda": lambda_of, "Lambda": layer, "os.system": system}
    objects |= {"Popen": popen, "eval": {**system, "module": "builtins"}}
    objects |= {"a list": [1], "a number": 3, "another name": "tf_op_layer"}
    for name, value in objects.items():
        for key in ("activation", "kernel_initializer", "bias_regularizer", "dtype"):
            argument(f"{name} as {key}", **{key: value})
        argument(f"{name} as kernel_constraint", kernel_constraint=value)
    for name in ("a lambda", "Lambda", "os.system", "Popen"):
        argument(f"{name} as filters", filters=objects[name])
        argument(f"{name} in padding", padding=[objects[name]])
        argument(f"{name} as an unknown key", layer_norm=objects[name])
        node = {"args": [objects[name]], "kwargs": {}}
        changed(f"{name} as an argument", inbound_nodes=[node])
        history = ["input_layer", 0, 0]
        start = {"class_name": "__keras_tensor__", "config": {"keras_history": history}}
        node = {"args": [start], "kwargs": {"training": objects[name]}}
        changed(f"{name} as a keyword", inbound_nodes=[node])
        changed(f"{name} as a call", inbound_nodes=[objects[name]])
        old = [[["input_layer", 0, 0, {"mask": objects[name]}]]]
        changed(f"{name} in an old call", inbound_nodes=old)
    for name, module in {
        "get_file": "keras.utils",
        "Dense": "os",
        "Add": "keras.src.ops.numpy",
        "Dense ": "keras.layers",
        "system": "os",
        "load_model": "keras.models",
        "GaussianNoise": MODULE,
        "StringLookup": "keras.layers",
        "TextVectorization": "keras.layers",
        "TFSMLayer": "keras.layers",
        "TFOpLambda": None,
        "TensorFlowOpLayer": None,
        "Conv2D": "kerasx.layers",
    }.items():
        changed(f"{module}.{name}", class_name=name, module=module)
    changed("GaussianNoise as ours", class_name="GaussianNoise", registered_name=OURS)
    for value in ([1], None, 3, {"a": 1}, "", "x" * 100_000, "\ud800"):
        changed(f"class_name {str(value)[:9]!a}", class_name=value)
        changed(f"config {str(value)[:9]!a}", config=value)
        changed(f"calls {str(value)[:9]!a}", inbound_nodes=value)
        argument(f"name {str(value)[:9]!a}", name=value)
        argument(f"kernel_size {str(value)[:9]!a}", kernel_size=value or "none")
        new = found[f"layers {str(value)[:9]!a}"] = copy.deepcopy(config)
        new["config"]["layers"] = value
        new = found[f"outputs {str(value)[:9]!a}"] = copy.deepcopy(config)
        new["config"]["output_layers"] = value
    for value in (10**9, 10**30, -1, 0, 1.5, float("nan"), 1e308):
        argument(f"{value} filters", filters=value)
        argument(f"{value} units", "last", units=value)
        argument(f"inputs of {value}", "input_layer", batch_shape=[None, 6, value, 1])
    argument("inputs of many axes", "input_layer", batch_shape=[None] + [2] * 5000)
    argument("an endless shape", "input_layer", batch_shape=[[[[[[1]]]]]])
    wide = changed("normalized channels", class_name="rethinking>LocalResponse")
    wide.update(class_name="rethinking>LocalResponseNormalization", module=None)
    wide["config"] = {"name": "conv"}
    inputs = found["normalized channels"]["config"]["layers"][0]["config"]
    inputs["batch_shape"] = [None, 1, 1, 2**22]
    for to in ("conv", "flat", "last", "nobody"):
        node = [[[to, 0, 0, {}]]]
        changed(f"conv reads {to}", inbound_nodes=node)
    changed("a call of 1e9", inbound_nodes=[[["input_layer", 10**9, 0, {}]]])
    changed("a call of -1", inbound_nodes=[[["input_layer", -1, 0, {}]]])
    changed("an output of 5", "last", inbound_nodes=[[["flat", 0, 5, {}]]])
    changed("two of a name", "flat", name="conv")
    deep = found["models 5,000 deep"] = {"class_name": "Sequential"}
    for _ in range(5000):
        inner = {"class_name": "Sequential"}
        deep["config"] = {"name": "a", "layers": [inner]}
        deep = inner
    deep["config"] = {"name": "a", "layers": []}
    dense = {"class_name": "Dropout", "config": {"name": "d", "rate": 0.1}}
    start = {"class_name": "InputLayer", "name": "i", "inbound_nodes": []}
    start["config"] = {"batch_shape": [None, 4], "name": "i"}
    model, name = dense, "d"
    for depth in range(30):  # each calls the one inside twice
        nodes = [[["i", 0, 0, {}]], [[name, 0 if depth == 0 else 1, 0, {}]]]
        twice = {**model, "name": name, "inbound_nodes": nodes}
        inside = {"layers": [start, twice], "input_layers": [["i", 0, 0]]}
        inside["output_layers"] = [[name, 1 if depth == 0 else 2, 0]]
        name = f"m{depth}"
        model = {"class_name": "Functional", "config": {**inside, "name": name}}
    found["calls that double 30 times"] = model
    many = [{**dense, "config": {"name": f"d{i}", "rate": 0.1}} for i in range(20_000)]
    many = {"name": "many", "layers": [start, *many]}
    found["20,000 layers"] = {"class_name": "Sequential", "config": many}
    found["one layer"] = config["config"]["layers"][1]
    found["no class"] = {"config": config["config"]}
    found["a list"] = [config]
    found["null"] = None
    return found


def texts(text):
    """`{kind: text}` in the place of a configuration that is JSON."""
    return {
        "brackets": "[" * 200_000,
        "half": text[: len(text) // 2],
        "empty": "",
        "infinity": text.replace("0.001", "Infinity"),
        "spaces": text + " " * 11_000_000,
    }


def damaged(whole, seed=0, first=2048, flips=50, cuts=20):
    """`{kind: bytes}`: flipped bits in the first bytes and anywhere, and cuts."""
    rng, found = np.random.default_rng(seed), {}
    for part, end in (("header", first), ("file", len(whole))):
        for place in rng.integers(0, end, flips).tolist():
            other = bytearray(whole)
            other[place] ^= int(rng.integers(1, 256))
            found[f"{part} flipped at {place}"] = bytes(other)
    for place in np.linspace(0, len(whole) - 1, cuts, dtype=int).tolist():
        found[f"cut at {place}"] = whole[:place]
    return found


def _lone(path):
    file = h5py.File(path, "r+")
    return file, file["model_weights/last/last"]


def _huge(file, group, **options):
    del group["kernel"]
    group.create_dataset("kernel", (2**34, 4), "f4", **options)


def _link(link):
    def spoil(file, group):
        del group["kernel"]
        group["kernel"] = link

    return spoil


def _replaced(array):
    def spoil(file, group):
        del group["kernel"]
        group["kernel"] = array

    return spoil


def _itself(file, group):
    del group["kernel"]
    group["kernel"] = group


def _whole_in_itself(file, group):
    file["model_weights/last/again"] = file["/"]
    file["model_weights/last"].attrs["weight_names"] = ["again/" * 5000 + "x"]


def _no_weights(file, group):
    del file["model_weights"]


def _weights_a_number(file, group):
    del file["model_weights"]
    file["model_weights"] = 3.0


def _attribute(name, value):
    def spoil(file, group):
        file.attrs[name] = value

    return spoil


def _swapped(file, group):
    file["model_weights/last"].attrs["weight_names"] = ["last/bias", "last/kernel"]


INSIDE = {
    "huge": _huge,
    "huge and compressed": lambda *x: _huge(*x, compression="gzip", chunks=(4096, 4)),
    "huge in chunks": lambda *x: _huge(*x, chunks=(4096, 4)),
    "a soft link": _link(h5py.SoftLink("/model_weights/last/last/bias")),
    "a soft link to itself": _link(h5py.SoftLink("/model_weights/last/last/kernel")),
    "an external link": _link(h5py.ExternalLink("/dev/zero", "/x")),
    "elsewhere": lambda *x: _huge(*x, external=[("/dev/zero", 0, 2**40)]),
    "its own group": _itself,
    "the file in itself": _whole_in_itself,
    "no weights": _no_weights,
    "weights that are a number": _weights_a_number,
    "strings": _replaced(["one", "two"]),
    "another shape": _replaced(np.zeros((3, 3), "f4")),
    "a scalar": _replaced(np.float32(3)),
    "nothing": _replaced(h5py.Empty("f4")),
    "complex": _replaced(np.zeros((48, 4), "c8")),
    "names swapped": _swapped,
    "a number for a configuration": _attribute("model_config", 3),
    "an array for a configuration": _attribute("model_config", np.zeros(9)),
    "an empty configuration": _attribute("model_config", h5py.Empty("f4")),
    "bytes that are no text": _attribute("model_config", np.bytes_(b"\xff{")),
}


def hdf5(whole, path):
    """Writes one file after the other to `path`; yields the kind of each."""
    for kind, spoil in INSIDE.items():
        path.write_bytes(whole)
        file, group = _lone(path)
        with file:
            spoil(file, group)
        yield kind
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        names = ["x" * 10_000_000, *["y"] * 2999]
        del file["model_weights"].attrs["layer_names"]
        kind = h5py.string_dtype()
        file["model_weights"].attrs.create("layer_names", names, dtype=kind)
    content = bytearray(path.read_bytes())
    start = content.index((10_000_000).to_bytes(4, "little"))
    # A string is its length and its place: all lie where the first does, 30 GB.
    content[start : start + 3000 * 16] = content[start : start + 16] * 3000
    path.write_bytes(content)
    yield "names of many megabytes"


def zips(whole, path):
    """As `hdf5`, of `.keras` files."""
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        parts = {name: file.read(name) for name in file.namelist()}

    def write(method=zipfile.ZIP_STORED, **other):
        with zipfile.ZipFile(path, "w", method) as file:
            for name, content in (parts | other).items():
                if content is not None:
                    file.writestr(name, content)

    zeros = bytes(30_000_000)
    deflated = zipfile.ZIP_DEFLATED
    for kind, method, other in (
        ("a large configuration", deflated, {"config.json": zeros}),
        ("large metadata", deflated, {"metadata.json": zeros}),
        ("large weights", deflated, {"model.weights.h5": zeros}),
        ("a large asset", deflated, {"assets/x": zeros}),
        ("a way out", deflated, {"../../../tmp/rethinking-out": b"x"}),
        ("no configuration", deflated, {"config.json": None}),
        ("no weights", deflated, {"model.weights.h5": None}),
        ("text for weights", deflated, {"model.weights.h5": b"x" * 9999}),
        ("LZMA", zipfile.ZIP_LZMA, {}),
        ("BZIP2", zipfile.ZIP_BZIP2, {}),
        ("deflated", deflated, {}),
    ):
        write(method, **other)
        yield kind
    for kind, spoil in {
        "a huge array": lambda x: x.create_dataset("y", (2**34,), "f4"),
        "a group in itself": lambda x: x.__setitem__("layers/y", x["layers"]),
        "a soft link": lambda x: x.__setitem__("y", h5py.SoftLink("/layers")),
        "an external link": lambda x: x.__setitem__("y", h5py.ExternalLink("z", "/")),
        "no layers": lambda x: x.__delitem__("layers"),
    }.items():
        buffer = io.BytesIO(parts["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            spoil(file)
        write(**{"model.weights.h5": buffer.getvalue()})
        yield kind


def places(folder):
    """`{kind: path}` of what is no file."""
    found = {"a folder": folder / "folder.h5", "/dev/zero": folder / "zero.h5"}
    found["a folder"].mkdir()
    found["/dev/zero"].symlink_to("/dev/zero")
    for suffix in ("h5", "keras"):
        found[f"a FIFO .{suffix}"] = folder / f"fifo.{suffix}"
        os.mkfifo(folder / f"fifo.{suffix}")
        found[f"a loop .{suffix}"] = folder / f"loop.{suffix}"
        found[f"a loop .{suffix}"].symlink_to(f"loop.{suffix}")
    return found


def rewritten(whole, suffix, text, path):
    """Writes a file whose configuration is `text`."""
    if suffix == ".h5":
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = text
        return
    with (
        zipfile.ZipFile(io.BytesIO(whole)) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, text if name == "config.json" else old.read(name))


def every(folder):
    """Yields `(kind, path)` of all; a path is written anew for the next."""
    sound = network()
    code = lambda_layer(folder / "ran")
    for suffix in (".h5", ".keras"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sound.save(folder / f"sound{suffix}")
        whole, path = (folder / f"sound{suffix}").read_bytes(), folder / f"bad{suffix}"
        if suffix == ".h5":
            with h5py.File(folder / "sound.h5") as file:
                text = file.attrs["model_config"]
        else:
            with zipfile.ZipFile(folder / "sound.keras") as file:
                text = file.read("config.json").decode()
        for kind, config in configs(json.loads(text), code).items():
            try:
                changed = json.dumps(config)
            except RecursionError:  # written by hand, then
                changed = '{"class_name":"Sequential","config":{"layers":[' * 5000
                changed += "]}}" * 5000
            rewritten(whole, suffix, changed, path)
            yield kind, path
        for kind, changed in texts(text).items():
            rewritten(whole, suffix, changed, path)
            yield f"configuration: {kind}", path
        for kind in (hdf5 if suffix == ".h5" else zips)(whole, path):
            yield kind, path
        for kind, content in damaged(whole).items():
            path.write_bytes(content)
            yield kind, path
    yield from places(folder).items()


def main(folder):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.path.insert(0, str(ROOT))
    import keras

    from common import models
    from common.cli import MendableError

    warnings.simplefilter("ignore")
    folder.mkdir(parents=True)
    counts = dict.fromkeys(["refused", "opened", "tracebacks", "slow", "large"], 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for kind, path in every(folder):
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        line = ""
        try:
            models.load(path)
            counts["opened"] += 1
            line = f"opened {path.suffix} {kind}"
        except MendableError as error:
            counts["refused"] += 1
            if len(str(error)) > 500 + len(str(path)) or "\n" in str(error):
                line = f"LONG {kind}: {str(error)[:700]}"
            elif "-v" in sys.argv:
                line = f"refused {path.suffix} {kind}: {str(error)[len(str(path)) :]}"
        except Exception as error:
            counts["tracebacks"] += 1
            line = f"TRACEBACK {kind}: {type(error).__name__} {str(error)[:200]}"
        seconds = time.monotonic() - start
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before.ru_maxrss
        if seconds > 10:
            counts["slow"] += 1
            line += f" SLOW {seconds:.0f} s {kind}"
        if grown > 1_000_000:
            counts["large"] += 1
            line += f" LARGE {grown} KB {kind}"
        if line:
            print(line, flush=True)
        if (folder / "ran").exists() or Path("/tmp/rethinking-out").exists():
            sys.exit(f"CODE RAN: {kind} {path}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    total = counts["refused"] + counts["opened"] + counts["tracebacks"]
    print(f"Keras {keras.__version__}: {total} files, {counts}, no code ran")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
