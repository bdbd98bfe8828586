"""`rtd reproduce`: experiments that a YAML file names, done one by one, and their tables.

`config` reads the file, `plan` says what there is to do and what is missing for it, `run` does it
and keeps every finished piece, `figures` gathers what was found, and `tables` and `page` show it.
"""
