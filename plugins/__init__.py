"""The built-in method plugins, found through the same entry points as anybody else's."""
