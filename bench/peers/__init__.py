"""Other ways to serve the same model, for bench/serving.py. Each file is started as a server of its own."""
