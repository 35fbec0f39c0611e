"""The reader's language: numbers and times, and sentences of the library."""
