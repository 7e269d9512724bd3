"""NVIDIA: NVML's reports, the GPUs that they describe, MIG partitions."""
