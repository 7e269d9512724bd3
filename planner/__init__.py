"""Pure arithmetic from shapes and hardware to plans: same input, same plan."""
