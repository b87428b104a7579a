"""The online values of an environment: a file a use case, and `Online` over them."""
