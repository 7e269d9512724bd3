"""Finds out what the daemon dies of, and keeps it from being tried again and again: see verdict.py."""
