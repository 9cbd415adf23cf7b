"""What a network does with each single training example (no Keras)."""
