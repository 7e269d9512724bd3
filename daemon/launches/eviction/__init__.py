"""Which models make room for another one."""
