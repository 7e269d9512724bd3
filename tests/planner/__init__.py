"""Tests of planner: truth recorded from the engine, choices as tables, properties."""
