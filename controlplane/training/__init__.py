"""Training sets: point-in-time-correct tables that never change."""
