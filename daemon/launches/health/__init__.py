"""Whether an engine that serves still works: what it shows of itself, its answers, its speed."""
