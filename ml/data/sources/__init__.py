"""The sources of raw tables, and the readers of what people bring."""
