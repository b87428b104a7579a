"""Checks of everything that a project stands on: each is one finding with a remedy."""
