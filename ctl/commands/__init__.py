"""One module for each command: the function ``command``, and ``USAGE`` and ``EXAMPLES`` for its help."""
