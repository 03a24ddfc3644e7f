"""SQLite as Django drives it, but for how a transaction waits for its turn."""
