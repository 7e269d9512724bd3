"""Whose turn it is where more requests come than an engine computes at once."""
