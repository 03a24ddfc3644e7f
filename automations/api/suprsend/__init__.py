"""SuprSend's triggers and its cancel, so that its SDKs work here with only the address and the keys changed.

A workflow is an automation, by its key or alias; what SuprSend calls an execution is a run.
"""
