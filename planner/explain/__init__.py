"""A plan in words: reasons, alternatives, and why nothing fits."""
