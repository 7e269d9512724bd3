"""Tests of catalog/local/."""
