"""The settings of the experiments of many small parts: of SCRIPT.py in SCRIPT.py."""
