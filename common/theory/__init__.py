"""What needs no training: kernels, minimum norms, Theorem 1, complexity, capacity."""
