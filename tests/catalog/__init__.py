"""Tests of catalog/: headers, names, quants, downloads."""
