"""What an environment sends, to whom and through what: recipients, lists, message templates and providers."""
