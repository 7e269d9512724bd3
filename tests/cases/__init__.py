"""Repositories and files as owners meet them, each with what has to come out."""
