"""Tests of daemon/api/."""
