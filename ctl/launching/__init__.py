"""Launches that are begun, followed and ended: what several commands share."""
