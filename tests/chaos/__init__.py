"""The real product under faults, with an oracle outside it: what it sends after an acknowledged cancel is counted."""
