"""The use cases of a project, one module each, and `ControlPlane`, the class over all of them."""
