"""Tests of catalog/hub/."""
