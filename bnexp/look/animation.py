"""The still growing step by step, as a GIF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bnexp.figures.style import own_look
from bnexp.look.stills import draw
from bnexp.look.tracks import Scene
from bnexp.records.jsonfile import write_whole

#: Milliseconds a frame stands, and the last one.
FRAME, LAST_FRAME = 320, 3000

#: Colours of the file; flat surfaces need no more.
NUM_COLOURS = 48


def write_gif(scene: Scene, file: Path, point: str, most_layers: int = 3) -> Path:
    """A frame for each look of the shown runs, at the last one of which it stays; of at most ``most_layers`` layers.

    The first and the last layer are among them. Returns the file.
    """
    from io import BytesIO

    from PIL import Image

    steps = sorted({int(step) for index in scene.columns for step in scene.runs[index].steps})
    number = min(len(scene.layers), most_layers)
    rows = sorted({round(row) for row in np.linspace(0, len(scene.layers) - 1, number)})
    frames = []
    with own_look({"path.simplify_threshold": 0.5}):
        for step in steps:
            stream = BytesIO()
            draw(scene, point, step, rows).savefig(stream, dpi=96, format="png")
            frames.append(Image.open(stream).convert("RGB"))
    # One palette for all frames, the last one's, or still parts would flicker.
    palette = frames[-1].quantize(NUM_COLOURS, dither=Image.Dither.NONE)
    flat = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    file.parent.mkdir(parents=True, exist_ok=True)
    durations = [FRAME] * (len(flat) - 1) + [LAST_FRAME]
    movie: dict[str, Any] = {"save_all": True, "append_images": flat[1:], "duration": durations, "loop": 0, "optimize": True}
    write_whole(file, lambda place: flat[0].save(place, **movie))
    return file
