"""Compute runtimes: their versions, and the devices that each reports to a child process."""
