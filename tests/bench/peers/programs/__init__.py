"""One program per peer: `drive` creates steps for it, `work` is one of its workers."""
