"""Properties: what must hold for every value, tried on values that Hypothesis makes up and then makes small."""
