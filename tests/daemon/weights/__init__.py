"""Tests of daemon/weights/."""
