"""Weights: pulls, downloads, retention, and what launches need on disk."""
