"""RAM: size, modules, peak bandwidth, swap, cgroup limits, what the firmware reserved."""
