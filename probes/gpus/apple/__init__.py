"""Apple's chips, under Linux and under macOS."""
