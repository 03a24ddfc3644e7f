"""Courier's automation API, so that its SDKs work here with only the address and the key changed.

In its spelling, its shapes and its statuses. What its newer SDKs may send and is not known here is ignored.
"""
