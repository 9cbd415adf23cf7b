"""The settings of the scripts that measure many small parts, each in its own file."""
