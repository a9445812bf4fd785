"""Values of canonical §3–§4 (N1–N15), one small file each, whole columns at a time.

Every function takes Arrow arrays of one length and returns arrays of that length; masks are numpy booleans, flags are
numpy int64 bit masks (`schemas.frames.BIT`). Nothing here raises for a bad value: a mask says which lines are bad.
"""
