"""How well a ranking, and its probabilities, came true: numbers first, pictures apart."""
