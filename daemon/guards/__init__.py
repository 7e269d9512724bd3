"""Guards: what is done when the box is hot, short of memory, shared with others, or broken."""
