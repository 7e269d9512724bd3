"""The machine as it is now: snapshots, device changes, benchmarks, disk space."""
