"""Telemetry in a file of its own, which may be lost: nothing else of the state depends on it."""
