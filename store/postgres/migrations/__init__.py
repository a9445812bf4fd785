"""How the tables came to be as they are, step by step. A step is never changed once it was released."""
