"""Tests of catalog/download/."""
