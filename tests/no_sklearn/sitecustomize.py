"""For scripts that tests start: without scikit-learn, which Keras would import."""

import sys

sys.modules["sklearn"] = None
