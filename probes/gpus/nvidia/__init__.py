"""NVIDIA: NVML's answers, the cards they describe, MIG partitions."""
