"""The processor: model, core types, NUMA nodes."""
