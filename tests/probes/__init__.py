"""Probes against the files of real machines."""
