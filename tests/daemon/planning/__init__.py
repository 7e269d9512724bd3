"""Tests of daemon/planning/."""
