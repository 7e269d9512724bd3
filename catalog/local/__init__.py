"""Weights on this disk: inventory, layout, adoption, verification, deletion."""
