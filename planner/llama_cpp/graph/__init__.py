"""The engine's compute graph, built without an engine: nodes and their sizes, back ends, buffers."""
