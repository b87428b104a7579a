"""All text that reaches a customer, as templates, which make text and never act."""
