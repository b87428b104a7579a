"""The use cases of the online values, one module each, and `Online`, the class over them."""
