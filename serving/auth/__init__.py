"""Who may call: API keys with scopes, and rate limits."""
