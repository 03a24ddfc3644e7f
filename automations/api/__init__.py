"""The HTTP APIs: each dialect translates requests into our words, makes one call inward, translates back."""
