"""Tests of launchers/process/."""
