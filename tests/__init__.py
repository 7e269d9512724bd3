"""Tests mirror the rooms; rigs/ and captures/ come from real machines and engines."""
