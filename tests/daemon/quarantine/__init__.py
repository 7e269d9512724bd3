"""Tests of what the daemon does against what it dies of."""
