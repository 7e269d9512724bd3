"""Tests of daemon/launches/start/."""
