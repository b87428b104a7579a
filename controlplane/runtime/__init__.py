"""What one task of a run does: stage, check, publish, sync. Every step may be repeated without changing its result."""
