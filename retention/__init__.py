"""The broom: what is past its window goes, in a known order, once, with evidence. Deciding and acting are kept
apart."""
