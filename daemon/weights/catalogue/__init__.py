"""A newer catalogue than the one that ships: fetched, kept, given back."""
