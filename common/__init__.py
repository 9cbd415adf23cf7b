"""Everything the scripts share: one file a noun, imports point down."""

import os

# Set before TensorFlow is first imported: its start-up notices are not ours.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
