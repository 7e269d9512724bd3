"""The doctor: facts, checks, findings, reports."""
