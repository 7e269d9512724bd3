"""node-ctl: talks HTTP to the daemon, renders tables and JSON."""
