"""Launches that a request starts, and that stop when they are idle or others need their memory."""
