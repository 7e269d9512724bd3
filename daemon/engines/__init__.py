"""Builds of engines on this machine."""
