"""Histories: what concurrent clients did and saw, and whether a correct registry could have answered so."""
