"""The native API, one module per noun, one class per address."""
