"""Applies a plan: `preview` asks the warehouse about it, `executor` runs its steps, `release_files`
writes files."""
