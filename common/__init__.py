"""Everything the scripts share: one file a noun, imports point down."""

import sys

if sys.version_info < (3, 10):  # noqa: UP036 - it would fail below, in many words
    sys.exit(
        f"Python 3.10 or newer is needed, and this is {sys.version.split()[0]}. "
        "Install one, and with it: python3 -m pip install -r requirements.txt"
    )

from common import keras_defaults, quiet

quiet.install()  # before anything imports Keras
keras_defaults.install()
