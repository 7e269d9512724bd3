"""Short benchmarks: RAM bandwidth, and the read rate of the disk that holds the weights."""
