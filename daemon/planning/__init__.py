"""Use cases that plan: choose, verify with the engine, estimate, compare, learn from runs."""
