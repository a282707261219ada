"""Vendors' reports: files whose rows become requests, by a mapping that the organisation writes."""
