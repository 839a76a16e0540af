"""Statistics on runs, with the seed as the unit: no torch, and every random draw from a generator that is passed in."""
