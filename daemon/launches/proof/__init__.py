"""Proves how deep the context of a launch can be filled, and takes a smaller window where it can't."""
