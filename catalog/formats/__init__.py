"""File formats of weights: headers read from disk or by HTTP range, never the weights."""
