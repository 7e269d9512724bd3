"""Headers and stand-in files for weights that are not on this disk."""
