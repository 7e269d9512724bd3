"""A newer catalogue from an address: the form of the signed file, and how it is fetched."""
