"""The doctor: collects the input, runs the checks, renders a report."""
