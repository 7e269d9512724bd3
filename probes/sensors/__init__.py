"""Sensors: temperatures, fans, power."""
