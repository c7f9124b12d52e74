"""Two results -> their difference: alignment, tolerance, metrics, hints."""
