"""Tests of daemon/launches/."""
