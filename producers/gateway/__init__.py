"""The alert gateway: what monitoring systems send over HTTP becomes signed requests."""
