"""Temperatures, fans and power."""
