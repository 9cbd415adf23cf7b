"""Networks from what a file says of them: classes named here, plain arguments.

A file's own configuration never reaches Keras, which would look up code by the names
in it. Layers are made by calling the classes listed here with numbers, strings and the
listed regularizers, and are connected here, so that no version of Keras runs code that
a file brings or names, and keys that one version writes are read by all.
"""

import contextlib
import inspect
import itertools
import math
import re

import keras

from common.models import layers

OURS = {
    f"rethinking>{kind.__name__}": kind
    for kind in (
        layers.LocalResponseNormalization,
        layers.FusedBatchNormalization,
        layers.ShiftedReLU,
        layers.SummedEmbedding,
        layers.IsWord,
        layers.ClearPadding,
        layers.AddPositions,
    )
}
# Layers that only compute. Lambda, TFOpLambda and wrappers carry code or other layers.
LAYERS = """InputLayer Dense Conv2D BatchNormalization ReLU LeakyReLU ELU PReLU
    Activation Softmax Flatten Reshape Dropout SpatialDropout1D SpatialDropout2D
    MaxPooling2D AveragePooling2D GlobalAveragePooling2D GlobalMaxPooling2D Concatenate
    Add ZeroPadding2D Rescaling Embedding Conv1D LSTM MultiHeadAttention
    LayerNormalization GlobalAveragePooling1D GlobalMaxPooling1D RandomFlip
    RandomTranslation RandomRotation RandomZoom RandomContrast""".split()
KNOWN = OURS | {name: getattr(keras.layers, name) for name in LAYERS}
MODELS = ("Sequential", "Functional", "Model")
INITIALIZERS = """Zeros Ones Constant RandomNormal RandomUniform TruncatedNormal
    VarianceScaling GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal
    LecunUniform Orthogonal Identity""".split()
OBJECTS = {
    "initializer": {name: getattr(keras.initializers, name) for name in INITIALIZERS},
    "regularizer": {x: getattr(keras.regularizers, x) for x in ("L1", "L2", "L1L2")},
    "constraint": {
        name: getattr(keras.constraints, name)
        for name in ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")
    },
}
ACTIVATIONS = """linear relu relu6 leaky_relu elu selu gelu silu softplus softsign
    softmax log_softmax sigmoid hard_sigmoid tanh exponential mish""".split()
ALIASES = {"softmax_v2": "softmax", "swish": "silu", "normal": "truncated_normal"}
POLICIES = [
    *("float16", "float32", "float64", "bfloat16"),
    *("mixed_float16", "mixed_bfloat16"),
]
# Where a class says it lives. Operations on tensors, in keras.ops, have layers' names.
HOMES = re.compile(r"((tensorflow\.(python\.)?)?(tf_)?keras)(\.src)?(\.api)?")
PARTS = re.compile(r"(\.(_v2|layers|models|engine)(\..*)?)?")
# Of speed, of how training draws, or of checks: without effect on what is computed.
IGNORED = {"seed", "implementation", "fused", "unroll", "input_length"}
CALLED_WITH = {"mask", "training", "query_mask", "key_mask", "value_mask"}
CALLED_WITH |= {"attention_mask", "use_causal_mask"}
DEEPEST = 20  # models in models
MOST_CALLS = 3000  # of layers, those in models that are called again among them


def network(config, keras_2=False, most_weights=math.inf):
    """Builds the network that a file's configuration describes.

    Args:
        config: Dict, as Keras 1.13 to 3 write it in `model_config` or `config.json`.
        keras_2: Whether a Keras before 3 wrote it.
        most_weights: How many numbers its weights may be.

    Returns:
        `keras.Model` with initial weights.

    Raises:
        ValueError: If a layer is not known to be safe, the graph is not whole, or
            there are more weights, before they take memory.
    """
    names = list(itertools.islice(_names(config), MOST_CALLS + 1))
    if len(names) > MOST_CALLS:
        raise ValueError(f"it has more than {MOST_CALLS} layers.")
    unknown = sorted({*map(str, names)} - {*KNOWN, *MODELS})
    if unknown:
        more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        raise ValueError(
            f"its layers {', '.join(short(x) for x in unknown[:4])}{more} are not "
            "among those known to be safe (LAYERS in common/models/rebuild.py). The "
            "file does not hold the code of other layers: rebuild the network with "
            "these, and load its weights."
        )
    if _named(config) not in MODELS:
        raise ValueError("it holds one layer; expected a whole model.")
    with _at_most(most_weights):
        return _Builder(keras_2).model(config)


def short(value):
    """A value of a file as it stands in a message: one line of 60 characters."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Builder:
    def __init__(self, keras_2):
        self._keras_2, self._calls = keras_2, 0
        self._inside = {}  # calls of layers in a model, by its id

    def model(self, config):
        """Builds a model and those inside it."""
        inner = config["config"]
        if isinstance(inner, list):  # a Sequential, before Keras 2.2.3
            inner = {"layers": inner}
        name = _name(inner.get("name") or _named(config).lower())
        kind = self._chain if _named(config) == "Sequential" else self._graph
        model = kind(inner, name)
        return model

    def _chain(self, config, name):
        stack = config["layers"]
        members = [self._member(layer) for layer in stack]
        if not members:
            raise ValueError(f"{name} has no layers.")
        if not isinstance(members[0], keras.layers.InputLayer):
            # Keras 2 kept the shape of the input in the first layer; a Sequential that
            # was built by calling it, in its own configuration.
            shape = stack[0]["config"]
            shape = shape.get("batch_input_shape") if isinstance(shape, dict) else None
            dtype = None
            if isinstance(members[0], keras.Model):
                shape, dtype = members[0].input_shape, members[0].inputs[0].dtype
            shape = shape or config.get("build_input_shape")
            if shape is None:
                raise ValueError(
                    f"{name} does not say the shape of its inputs: call it on data, or "
                    "begin it with an Input, and save it again."
                )
            free = _free_name("input", [member.name for member in members])
            first = {"batch_shape": shape, "name": free, "dtype": dtype}
            members.insert(0, self._layer(keras.layers.InputLayer, first))
        for member in members:
            self._count(member)
        model = keras.Sequential(members, name=name)
        if not model.built:
            raise ValueError(f"{name} cannot be built from its first layer on.")
        return model

    def _graph(self, config, name):
        members, pending, outputs = {}, {}, {}
        for layer in config["layers"]:
            key = layer.get("name") or layer["config"]["name"]
            if key in members:
                raise ValueError(f"{name} has two layers named {short(key)}.")
            members[key] = self._member(layer)
            pending[key] = [_call(node) for node in layer.get("inbound_nodes", [])]
            outputs[key] = []
            if isinstance(members[key], keras.layers.InputLayer):
                outputs[key] = [members[key].output]
        ends = [_tensors(config[x]) for x in ("input_layers", "output_layers")]
        # A list of one tensor is that tensor, as Keras 2 handed it on.
        ends = [x[0] if isinstance(x, list) and len(x) == 1 else x for x in ends]
        used = [ref for nodes in pending.values() for ref in _in(nodes)]
        used += _in(ends)
        # A model inside counts its calls from 1 in some versions, from 0 in others.
        first = {}
        for ref in used:
            if isinstance(members.get(ref.layer), keras.Model):
                only = ref.call < 2 and len(pending[ref.layer]) == 1
                lowest = min(first.get(ref.layer, ref.call), ref.call)
                first[ref.layer] = None if only else lowest

        def found(ref):
            if ref.layer not in members:
                raise ValueError(f"{name} has no layer {short(ref.layer)}.")
            offset = first.get(ref.layer, 0)
            call = 0 if offset is None else ref.call - offset
            if call >= len(outputs[ref.layer]):
                raise _NotYet
            return keras.tree.flatten(outputs[ref.layer][call])[ref.output]

        progress = True
        while progress:
            progress = False
            for key, nodes in pending.items():
                with contextlib.suppress(_NotYet):
                    while nodes:
                        args, kwargs = (_filled(x, found) for x in nodes[0])
                        self._count(members[key])
                        outputs[key].append(members[key](*args, **kwargs))
                        nodes.pop(0)
                        progress = True
        try:
            inputs, results = (_filled(x, found) for x in ends)
        except _NotYet:
            raise ValueError(f"the layers of {name} are not all connected.") from None
        return keras.Model(inputs, results, name=name)

    def _count(self, member):
        self._calls += self._inside.get(id(member), 1)
        if self._calls > MOST_CALLS:
            raise ValueError(f"it calls layers more than {MOST_CALLS} times.")

    def _member(self, config):
        name = _named(config)
        if name in MODELS:
            before = self._calls
            model = self.model(config)
            self._inside[id(model)] = self._calls - before
            return model
        self._count(None)
        return self._layer(KNOWN[name], config["config"])

    def _layer(self, kind, given):
        given = dict(given)
        shape = given.pop("batch_input_shape", None)
        if kind is keras.layers.InputLayer:
            shape = given.pop("batch_shape", shape)
            if not isinstance(shape, (list, tuple)):
                raise ValueError(f"the shape {short(shape)} of its input is none.")
            given["batch_shape"] = list(shape)
        given["name"] = _name(given["name"])
        if given.get("dtype") is None:  # not floatx, which may be another here
            given["dtype"] = "float32"
        if isinstance(given.get("axis"), list) and len(given["axis"]) == 1:
            if issubclass(kind, keras.layers.BatchNormalization):
                given["axis"] = given["axis"][0]
        if kind is keras.layers.LeakyReLU and "alpha" in given:  # Keras 2's word
            given["negative_slope"] = given.pop("alpha")
        return self._made(kind, given, keras.layers.Layer)

    def _made(self, kind, given, base=object):
        """Calls a class with those of the given arguments that it takes."""
        accepted = {
            name
            for function in (kind.__init__, base.__init__)
            for name in inspect.signature(function).parameters
        } - {"stateful", "input_tensor"}
        arguments = {}
        for key, value in given.items():
            if key in IGNORED:
                continue
            elif key in accepted:
                arguments[key] = self._argument(key, value, kind)
            elif value is not None and value is not False:
                raise ValueError(
                    f"its {kind.__name__} has {short(key)} {short(value)}, which is "
                    f"not known to Keras {keras.__version__}."
                )
        return kind(**arguments)

    def _argument(self, key, value, kind):
        what = key.rpartition("_")[2]
        if value is None:
            return None
        if what == "activation":
            return self._activation(value)
        if what in OBJECTS:
            return self._object(what, value)
        if key == "dtype" and kind is not keras.layers.InputLayer:
            return _policy(value)
        value = _plain(value)
        return ALIASES.get(value, value) if key == "distribution" else value

    def _activation(self, value):
        if isinstance(value, dict) and value.get("class_name") == "function":
            value = value.get("config")
        if isinstance(value, str):
            value = ALIASES.get(value, value)
        if value not in ACTIVATIONS:
            raise ValueError(f"its activation {short(value)} is not known to be safe.")
        if value == "hard_sigmoid" and self._keras_2:
            raise ValueError(
                "its hard_sigmoid is another function in Keras 3 than in the Keras "
                "that saved it: rebuild it with sigmoid, and train it again."
            )
        return value

    def _object(self, what, value):
        if isinstance(value, str):
            value = {"class_name": value}
        kind = OBJECTS[what].get(_text(value["class_name"]))
        if kind is None:
            name = short(value["class_name"])
            raise ValueError(f"its {what} {name} is not known to be safe.")
        given = dict(value.get("config") or {})
        given.pop("dtype", None)  # tf.keras 1.13 to 1.15
        return self._made(kind, given)


class _NotYet(Exception):
    """The layer that a tensor comes from has not been called."""


class _Ref:
    """An output of a call of a layer, by the layer's name and two counts."""

    def __init__(self, layer, call, output):
        self.layer, self.call, self.output = _text(layer), int(call), int(output)
        if self.call < 0 or self.output < 0:
            raise ValueError(f"{short(self.layer)} has no call {self.call}.")


def _named(config):
    """The name in KNOWN or MODELS of what a configuration says it is, else its own."""
    name, where = config["class_name"], config.get("module")
    registered = config.get("registered_name")
    if {name, registered} & set(OURS):
        # A .keras file gives the class its own name, and ours beside it.
        ours = name if name in OURS else registered
        plain = ours.partition(">")[2]
        same = name in (ours, plain) and registered in (None, ours, plain)
        if same and where in (None, layers.__name__):
            return ours
        return f"{name} registered as {registered}"
    home = HOMES.match(where) if isinstance(where, str) else None
    if where is not None and not (home and PARTS.fullmatch(where[home.end() :])):
        return f"{where}.{name}"
    return name if registered in (None, name) else f"{name} registered as {registered}"


def _names(config, depth=0):
    """What a configuration and those inside it say they are."""
    if depth > DEEPEST:
        raise ValueError(f"it has models in models, more than {DEEPEST} deep.")
    name = _named(config)
    yield name
    if name in MODELS:
        inner = config["config"]
        for layer in inner if isinstance(inner, list) else inner["layers"]:
            yield from _names(layer, depth + 1)


def _call(node):
    """`(arguments, keywords)` of a call of a layer, tensors as `_Ref`."""
    if isinstance(node, dict):
        keywords = node.get("kwargs") or {}
        return _tensors(node["args"]), {k: _keyword(k, v) for k, v in keywords.items()}
    # Keras 2: a list of [layer, call, output, keywords].
    rows = [node] if node and isinstance(node[0], str) else node
    keywords = next((row[3] for row in rows if len(row) > 3), {})
    tensors = [_Ref(*row[:3]) for row in rows]
    arguments = [tensors[0] if len(tensors) == 1 else tensors]
    return arguments, {k: _keyword(k, v) for k, v in keywords.items()}


def _keyword(key, value):
    if key not in CALLED_WITH:
        raise ValueError(f"a layer is called with {short(key)}, which is not known.")
    return _tensors(value)


def _tensors(value, depth=0):
    """A nest of tensors and truth values, with `_Ref` for the tensors."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return _Ref(*value["config"]["keras_history"])
    if isinstance(value, dict) and value.get("class_name") == "__tuple__":
        value = value["items"]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, list) and depth < 4:
        if len(value) == 3 and isinstance(value[0], str):
            return _Ref(*value)
        return [_tensors(item, depth + 1) for item in value]
    raise ValueError(f"a layer is called with {short(value)}; expected tensors.")


def _in(nest):
    if isinstance(nest, _Ref):
        yield nest
    elif isinstance(nest, (list, tuple, dict)):
        for item in nest.values() if isinstance(nest, dict) else nest:
            yield from _in(item)


def _filled(nest, found):
    if isinstance(nest, dict):
        return {key: _filled(item, found) for key, item in nest.items()}
    if isinstance(nest, list):
        return [_filled(item, found) for item in nest]
    return found(nest) if isinstance(nest, _Ref) else nest


def _policy(value):
    """The name of a dtype policy."""
    if isinstance(value, dict):
        if value.get("class_name") not in ("DTypePolicy", "FloatDTypePolicy", "Policy"):
            raise ValueError(
                f"its precision {short(value.get('class_name'))} is not known: save "
                "the model in float32."
            )
        value = value["config"]["name"]
    if value in ("infer", "_infer"):
        return "float32"
    if value not in POLICIES:
        raise ValueError(
            f"its precision {short(value)} is not known: save it in float32."
        )
    return value


def _plain(value, depth=0):
    """A number, string or nest of them, as a file may say it."""
    if isinstance(value, dict) and value.get("class_name") == "__tuple__":
        value = value["items"]
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int) and abs(value) < 2**31:
        return value
    if isinstance(value, str) and len(value) < 1000:
        return value
    if isinstance(value, (list, tuple)) and depth < 4:
        return tuple(_plain(item, depth + 1) for item in value)
    raise ValueError(f"an argument of its layers is {short(value)}; expected numbers.")


def _name(value):
    # Keras 2 allowed the slash, which Keras 3 keeps for paths.
    return _text(value).replace("/", "_")


def _text(value):
    if isinstance(value, str) and len(value) < 1000:
        return value
    raise ValueError(f"expected a name, not {short(value)}.")


def _free_name(word, taken):
    numbered = (f"{word}_{i}" for i in itertools.count(1))
    return next(x for x in itertools.chain([word], numbered) if x not in taken)


@contextlib.contextmanager
def _at_most(count):
    """Weights that are more than `count` numbers end in a ValueError, not in memory."""
    add_weight, left = keras.layers.Layer.add_weight, count

    def counted(self, shape=None, *args, **kwargs):
        nonlocal left
        left -= math.prod(() if shape is None else shape)
        if left < 0:
            raise ValueError(
                f"its layers have more weights than the file holds, {count:,} numbers."
            )
        return add_weight(self, shape, *args, **kwargs)

    keras.layers.Layer.add_weight = counted
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = add_weight
