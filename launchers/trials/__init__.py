"""Measurements with an engine that answers: thread counts, and the depth of a context."""
