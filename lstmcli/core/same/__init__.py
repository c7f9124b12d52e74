"""Two networks compared by their weights, without a run: whether they are the same, or how not."""
