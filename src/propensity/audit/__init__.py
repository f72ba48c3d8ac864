"""The leak audit: does anything as of a cutoff know what came later?"""
