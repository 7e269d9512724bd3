"""Tests of catalog/formats/."""
