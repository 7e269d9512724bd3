"""Builds of engines: what is listed of them, and how they are proved."""
