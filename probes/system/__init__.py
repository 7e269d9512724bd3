"""The operating system: setup, services, firmware packages, clock, accounts."""
