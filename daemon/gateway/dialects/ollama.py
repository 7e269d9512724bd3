"""Ollama's API: its own paths, translated to what engines speak. ``daemon/gateway/ollama`` does the work."""

from daemon.gateway.dialects.dialect import Dialect, Route
from daemon.gateway.ollama import lists
from daemon.gateway.ollama.chat import chat, generate
from daemon.gateway.ollama.embed import embed, embeddings
from daemon.gateway.ollama.handling import error, stream_error
from daemon.gateway.ollama.pull import pull

ROUTES = (
    Route("GET", "/", lists.hello),
    Route("GET", "/api/version", lists.version),
    Route("GET", "/api/tags", lists.tags),
    Route("GET", "/api/ps", lists.ps),
    Route("POST", "/api/show", lists.show),
    Route("POST", "/api/chat", chat),
    Route("POST", "/api/generate", generate),
    Route("POST", "/api/embed", embed),
    Route("POST", "/api/embeddings", embeddings),
    Route("POST", "/api/pull", pull),
    Route("POST", "/api/create", lists.refuse("a model is served by its name or file: node-ctl launch")),
    Route("POST", "/api/copy", lists.refuse("a second name is given by node-ctl launch MODEL --name NAME")),
    Route("DELETE", "/api/delete", lists.refuse("node-ctl rm MODEL removes weights")),
    Route("POST", "/api/push", lists.refuse("models are not published from here")),
    Route("POST", "/api/blobs/*", lists.refuse("a model is served by its name or file: node-ctl launch")),
)
# NDJSON has nothing that a client would skip: a silent stream sends nothing.
DIALECT = Dialect("ollama", ROUTES, error, stream_error, keep_alive=b"")
