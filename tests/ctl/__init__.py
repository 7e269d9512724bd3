"""node-ctl, as real child processes see it."""
