"""Our pump and other queues side by side, in one run, on one machine."""
