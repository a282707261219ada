"""What publishes requests: programs of one's own through the client, later gateways and imports."""
