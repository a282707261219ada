"""The payloads that monitoring systems send, one module a format.

Every model accepts fields that it does not know: senders add some with each release.
"""
