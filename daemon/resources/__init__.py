"""Who may use which memory."""
