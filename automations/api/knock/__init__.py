"""Knock's workflow API, so that its SDKs work here with only the address and the key changed.

A workflow is an automation, by its key or alias. What Knock's newer SDKs may send and is not known here is ignored.
"""
