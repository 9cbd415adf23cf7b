"""What a trained network is like: norms, bounds, curvature, sensitivity."""
