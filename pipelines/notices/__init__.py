"""Notices to those who look after an agency's data: by e-mail, or to a programme. Codes, counts, links."""
