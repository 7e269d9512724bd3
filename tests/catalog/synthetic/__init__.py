"""Tests of catalog/synthetic/."""
