"""Requests of one conversation: recognised, kept equal from turn to turn, sent to the slot that has it."""
