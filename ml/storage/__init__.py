"""Where things are kept: files that are written whole, locks between processes, and the database."""
