"""Andon's tests: unit, integration, acceptance."""
