"""The room launchers: pure command lines, and real children."""
