"""Tests of launchers/sandbox/."""
