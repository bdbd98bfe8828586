"""A patch as the very file or folder that an upstream repository's own flags load."""
