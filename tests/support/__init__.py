"""What the tests share: servers, an organisation, requests, waiting for conditions."""
