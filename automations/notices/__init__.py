"""Tells webhook endpoints of the runs that ended: who is told, of what, signed how, and how often it is tried."""
