"""Conversations in the slots of an engine: which slot has which, and their copies on disk."""
