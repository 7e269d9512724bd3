"""Whether the daemon gets on."""
