"""The protocol as an explicit-state model: `python -m tests.model` says what holds, and what falls without a rule."""
