"""The fair queue."""
