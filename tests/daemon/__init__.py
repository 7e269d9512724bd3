"""Tests of the daemon: its parts, the whole in this process, and the whole as a child."""
