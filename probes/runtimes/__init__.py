"""Compute runtimes: their versions, and the devices that each shows to a child process."""
