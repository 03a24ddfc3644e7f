"""Who gets in, and where to: users, API keys and environments, made and changed with an entry in the audit log."""
