"""`python -m serving.auth`: make, list and revoke API keys."""

from serving.auth.keys import commands

if __name__ == "__main__":
    commands()(prog_name="python -m serving.auth")
