"""The service on a real systemd."""
