"""What the layers of runs received, to be looked at: one interactive page, stills for slides, an animation. No torch."""
