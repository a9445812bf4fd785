"""The ears: a delivery in, typed frames and a quarantine out, no opinion. Each system has one file and one layout folder."""
