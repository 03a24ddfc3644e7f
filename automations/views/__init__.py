"""The pages beside the logs: first set-up, login, automation templates."""
