"""The prediction log: binary segments that workers append to, and the log shipper to the database."""
