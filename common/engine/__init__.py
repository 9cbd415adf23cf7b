"""What trains and measures: checkpoints, evaluation, devices, many networks at once."""
