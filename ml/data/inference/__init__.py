"""Schema inference: what the columns of a raw table are."""
