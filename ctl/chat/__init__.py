"""Questions to a served model: one, or a conversation."""
