"""The search for the best plan: candidates, engines, quality, limits."""
