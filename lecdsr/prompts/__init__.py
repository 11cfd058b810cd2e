"""Write one question for every user profile and item description."""
