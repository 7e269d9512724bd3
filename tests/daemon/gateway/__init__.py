"""The one address: raw HTTP on one side, an engine on the other."""
