"""The ears: a delivery in, typed frames and a quarantine out, no opinion.

Each system has one package and its layouts.
"""
