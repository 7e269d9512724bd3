"""The operating system: setup, systemd units, firmware packages, clock, boot id, accounts."""
