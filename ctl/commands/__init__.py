"""One module a command: ``command`` is the function; ``USAGE`` opens its help, ``EXAMPLES`` end it."""
