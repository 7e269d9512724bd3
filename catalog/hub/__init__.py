"""The model hub: listings, headers by range, search, errors, retries, and a cache of what it said."""

import os

# Else the hub's client asks, before its first request, for a list of coding agents, to tell which of them
# runs it, and keeps the answer for a day: one that is no such list, as a portal sends it, ends each later
# request.
# Source: huggingface_hub 2.4, utils/_detect_agent.py and utils/_headers.py.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
