"""RAM: size, modules, peak bandwidth, swap, cgroup limits, memory reserved by the firmware."""
