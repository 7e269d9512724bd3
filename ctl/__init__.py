"""node-ctl: talks HTTP to the daemon, prints tables and JSON."""
