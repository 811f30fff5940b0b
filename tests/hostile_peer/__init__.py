"""A peer who follows no rule, against a real daemon, while two honest peers go on."""
