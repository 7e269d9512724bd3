"""Reads the machine, one module per source. Never decides, never sets anything."""
