"""Everything the scripts share: one file a noun, imports point down."""

from common import quiet

quiet.install()  # before anything imports Keras
