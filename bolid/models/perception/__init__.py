"""Small networks that look at pictures and say what is in them; they score and never generate."""
