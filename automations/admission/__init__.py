"""Who gets in, and where to: users, API keys, environments and logins, each change with an entry in the audit log."""
