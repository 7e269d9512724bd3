"""The guards of the box."""
