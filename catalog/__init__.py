"""From a model name to files: aliases, the hub, headers, downloads, the local store."""
