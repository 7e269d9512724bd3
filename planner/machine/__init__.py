"""What the arithmetic needs of a machine: devices, budgets, efficiency, measured corrections."""
