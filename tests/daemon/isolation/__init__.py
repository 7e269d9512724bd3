"""Work outside the daemon's process."""
