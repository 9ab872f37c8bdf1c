"""The dashboard: one file a page, and what pages share in the files that begin with an underscore."""
