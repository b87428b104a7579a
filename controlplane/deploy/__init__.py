"""Applies a plan: `preview` asks the warehouse what it would say, `executor` does it."""
