"""Stage ``prompts``: write one question for every requested user profile and item description."""
