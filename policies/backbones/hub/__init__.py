"""Any image-text-to-text model of the hub, or of a folder in its format."""
