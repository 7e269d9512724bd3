"""Telemetry, with times that are given: nothing here waits for a clock."""
