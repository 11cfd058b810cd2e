"""Stage ``prompts``: write one question for every user profile and item description."""
