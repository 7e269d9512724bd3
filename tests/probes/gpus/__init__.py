"""Tests of probes/gpus/."""
