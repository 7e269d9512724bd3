"""Apple's chips under Linux and macOS."""
