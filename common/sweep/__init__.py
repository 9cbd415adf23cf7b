"""Which runs make up an experiment, and many of them at a time."""
