"""What people and programs do with a project: a file a use case, and `ControlPlane` over them."""
