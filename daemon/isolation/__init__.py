"""Work on what others made, outside the daemon's process: see workers.py."""
