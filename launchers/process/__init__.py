"""The processes of one engine: start and stop, watch, log file, /proc."""
