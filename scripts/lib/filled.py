"""Scenarios: a disk that is full or slow. For scripts/faults."""

SCENARIOS = {}
