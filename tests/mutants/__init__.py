"""Known-bad variants of the product, one rule broken in each, and the proof that the suite finds every one."""
