"""Blueprints of the JSON API, one file a concern. `serving/app.py` registers them."""
