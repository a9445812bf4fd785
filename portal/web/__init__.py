"""The web pages: no key, no file of the home, no record. What they show, the reception has answered (record 0019)."""
