"""Tests of daemon/machine/."""
