"""What models read: online values with a status for each feature. It writes nothing."""
