"""Tests of planner/choose."""
