"""Whether this daemon gets on, as systemd's watchdog is told, and whether the machine slept meanwhile."""
