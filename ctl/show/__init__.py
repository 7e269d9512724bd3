"""From the daemon's answers to text for people."""
