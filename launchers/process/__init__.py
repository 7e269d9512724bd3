"""One engine process: its children, log, identity in /proc, start and stop."""
