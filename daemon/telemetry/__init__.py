"""Telemetry: what a sample tells of devices and launches, recording it, and its history."""
