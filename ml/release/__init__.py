"""Release: the shadow test before a promotion and the bake after it."""
