"""Launches: from a request to a served model, supervised until it is stopped."""
