"""From a plan to a running engine: flags, engines found and asked, one child process."""
