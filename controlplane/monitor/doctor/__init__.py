"""Checks everything that a project depends on; each finding has a remedy."""
