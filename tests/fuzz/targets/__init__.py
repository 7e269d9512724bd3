"""What is fuzzed: a module for each kind of input, as ``tests/fuzz/target.py`` describes it."""
