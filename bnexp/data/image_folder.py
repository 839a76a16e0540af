"""A user's own images in folders: PATH/train/CLASS/*.png and PATH/test/CLASS/*.png.

Legend: N examples, C channels, H W space, K classes.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bnexp.config.checks import choice, whole
from bnexp.data.cache import file_digests
from bnexp.data.forms import in_order
from bnexp.data.pictures import PictureReader
from bnexp.data.source import Part, Source, register
from bnexp.data.user_files import doubles, find_user_path, kind_of, printable, way_to_npz
from bnexp.errors import UserError

_READ = ".apng .avif .bmp .gif .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tga .tif .tiff .webp"

#: Pictures, or files that hold pictures, that are not read: to leave them out would be to train on a part of the data in silence.
_UNREAD = (
    ".ai .arw .avi .cr2 .cr3 .dcm .dng .eps .exr .hdr .heic .heif .jxl .mkv .mov .mp4 .nef .nii .npy .npz .pdf .psd .raw .rw2 .svg "
    ".webm .xcf"
)

_LAYOUT = "PATH/train/CLASS/*.png and PATH/test/CLASS/*.png"
_TRAIN, _TEST = ("train", "training"), ("test", "testing")
_VALIDATION = ("val", "valid", "validation", "dev")
_NO_CLASS = frozenset(
    ("__macosx", "__pycache__", "$recycle.bin", "system volume information", "lost+found", "@eadir", "#recycle")
)
_NO_PICTURE = frozenset(("thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r"))


@dataclass
class Listing:
    """What lies below one part's folder.

    Attributes:
        classes: class name to its picture files, in the order of their paths.
        hidden, other: numbers of files left out, because hidden (or made by the system) or no pictures.
        below: number of pictures in folders inside a class's folder.
    """

    classes: dict[str, list[Path]] = field(default_factory=dict)
    hidden: int = 0
    other: int = 0
    below: int = 0


def fingerprint(data_dir: Path, *, path: str | None, size: int | None, grayscale: bool, background: str) -> str:  # noqa: ARG001 - as load
    """Hash of the places and contents of all image files; contents are read again only where a file's date or size changed."""
    root, folders = _folders(data_dir, path)
    places = [
        (part, name, file)
        for part, folder in folders.items()
        for name, files in list_pictures(folder).classes.items()
        for file in files
    ]
    digest = hashlib.blake2b(digest_size=16)
    contents = file_digests(data_dir, root, [file for _, _, file in places])
    for (part, name, file), content in zip(places, contents, strict=True):
        place = str(file)[len(str(folders[part])) + 1 :]
        digest.update(os.fsencode(f"{part}\0{name}\0{place}\0{content}\0"))
    return digest.hexdigest()


@register("image_folder", fingerprint=fingerprint)
def load(data_dir: Path, *, path: str | None, size: int | None, grayscale: bool, background: str) -> Source:
    """The images below ``path`` (looked for in the working folder, then in ``data_dir``), classes in the order of their names.

    Names that are all whole numbers are ordered as numbers. A picture counts to the class whose folder it is in, however deep;
    hidden folders and files are left out. :class:`bnexp.data.pictures.PictureReader` says how a file becomes pixels.

    Args:
        data_dir: where a relative path is looked for after the working folder.
        path: the folder with ``train`` and ``test``.
        size: resize to size x size pixels; null takes the images as they are, all of one size.
        grayscale: one channel instead of three.
        background: what shows through transparent pixels, ``white`` or ``black``.

    Shape: images ``[N, C, H, W]``.

    Raises:
        UserError: a missing folder or class, images of several sizes, a file that cannot be read.
    """
    if size is not None:
        whole("dataset.size", size, least=1, example=32)
    choice("dataset.background", background, ("white", "black"))
    root, folders = _folders(data_dir, path)
    listings = {part: list_pictures(folder) for part, folder in folders.items()}
    classes, notes = _classes(listings, folders)
    files = {part: [file for name in classes for file in listings[part].classes.get(name, ())] for part in folders}
    reader = PictureReader([*files["train"], *files["test"]], size=size, grayscale=grayscale, background=background)
    images_NCHW = reader.read()
    counts = [[len(listings[part].classes.get(name, ())) for name in classes] for part in folders]
    labels = [np.repeat(np.arange(len(classes)), counts_K) for counts_K in counts]
    train, test = (Part(*pair) for pair in zip(np.split(images_NCHW, [len(files["train"])]), labels, strict=True))
    notes += [*_left_out(root, listings, folders), *reader.notes(), *doubles(train, test)]
    facts = {"classes": [printable(name) for name in classes], **reader.facts(), "notes": notes}
    return Source(train, test, len(classes), facts)


def _folders(data_dir: Path, path: str | None) -> tuple[Path, dict[str, Path]]:
    """The root, and the folders of the training and the test part."""
    root = find_user_path("image_folder", data_dir, path)
    if root.is_file():
        kind = kind_of(root)
        npz = kind == "an .npz file"
        todo = f"dataset=npz dataset.path={path}" if npz else way_to_npz(root, kind) if "archive" in kind else _LAYOUT
        raise UserError(
            f"dataset=image_folder needs a folder, and dataset.path is {kind}", got=f"dataset.path={path}", todo=todo
        )
    inside = {entry.name.lower(): entry for entry in _entries(root) if entry.is_dir()}
    train, test = (next((inside[name] for name in names if name in inside), None) for names in (_TRAIN, _TEST))
    if train is None or test is None:
        raise _misplaced(root, str(path), inside, train)
    return root, {"train": train, "test": test}


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(
            f"a folder cannot be read: {error.strerror}", got=folder, todo=f"ls -ld {shlex.quote(str(folder))}"
        ) from error


def _misplaced(root: Path, path: str, inside: Mapping[str, Path], train: Path | None) -> UserError:
    """Why ``train`` and ``test`` are not in the folder, as far as it can be seen."""
    what = f"dataset=image_folder needs the folders train and test in {root}"
    shown = [printable(entry.name) for entry in inside.values() if not _ignored(entry.name)]
    got = f"dataset.path={path} holds " + (", ".join(shown[:8]) + (", ..." if len(shown) > 8 else "") or "no folders")
    validation = next((inside[name] for name in _VALIDATION if name in inside), None)
    if train is not None and validation is not None:
        target = shlex.quote(str(root / "test"))
        todo = f"ln -s {shlex.quote(validation.name)} {target}   (takes {validation.name} as the test part)"
        return UserError(what, got=got, todo=todo)
    if train is not None:
        return UserError(
            what, got=got, todo=f"bnexp data split {shlex.quote(str(train))}   (draws a fifth of it as the test part)"
        )
    above = root.resolve().parent
    places = [
        place
        for place in (above, above.parent, *inside.values())
        if _has(place, _TRAIN) and (_has(place, _TEST) or _has(place, _VALIDATION))
    ]
    if len(places) == 1:
        return UserError(what, got=got, todo=f"dataset.path={_as_typed(path, root, places[0])}")
    if places:
        return UserError(f"{what}, with the classes inside them", got=got, todo=_LAYOUT)
    if sum(any(_pictures(folder, Listing())) for folder in inside.values() if not _ignored(folder.name)) > 1:
        name = shlex.quote(str(root))
        return UserError(what, got=got, todo=f"bnexp data split {name}   (makes train and test of its class folders)")
    return UserError(what, got=got, todo=_LAYOUT)


def _as_typed(path: str, root: Path, place: Path) -> str:
    """The folder ``place`` in the way in which ``path`` was typed for ``root``."""
    return os.path.normpath(os.path.join(path, os.path.relpath(place.resolve(), root.resolve())))


def _has(folder: Path, names: Sequence[str]) -> bool:
    try:
        return any(entry.name.lower() in names and entry.is_dir() for entry in folder.iterdir())
    except OSError:
        return False


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _NO_CLASS


def list_pictures(folder: Path) -> Listing:
    """Every class of a part with its pictures, both in an order that does not depend on the file system.

    Raises:
        UserError: a folder that cannot be read, pictures in a format that is not read, two folders of one name.
    """
    listing = Listing()
    found: dict[str, list[Path]] = {}
    for entry in _entries(folder):
        if not entry.is_dir():
            listing.hidden += _is_clutter(entry.name)
            listing.other += not _is_clutter(entry.name)
            continue
        if _ignored(entry.name):
            listing.hidden += sum(1 for file in entry.rglob("*") if file.is_file())
            continue
        name = unicodedata.normalize("NFC", entry.name)  # macOS writes an accent as a sign of its own
        if name in found:
            raise UserError(
                "two folders have names that look the same",
                got=entry,
                todo=f"put the pictures of both into one: ls -b {shlex.quote(str(folder))}",
            )
        found[name] = list(_pictures(entry, listing))
    listing.classes = {str(name): found[str(name)] for name in in_order(list(found))}
    return listing


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _NO_PICTURE


def _pictures(folder: Path, listing: Listing) -> Iterator[Path]:
    """The pictures below a class's folder in the order of their paths; what is left out is counted in ``listing``."""
    seen: set[tuple[int, int]] = set()
    unread: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        facts = os.stat(place)
        if (facts.st_dev, facts.st_ino) in seen:  # a link to a folder that was read already
            folders.clear()
            continue
        for link in (Path(place, name) for name in folders):
            if link.is_symlink() and Path(place).resolve().is_relative_to(link.resolve()):
                raise UserError("a link leads in a circle", got=link, todo=f"rm {shlex.quote(str(link))}")
        seen.add((facts.st_dev, facts.st_ino))
        folders[:] = sorted(name for name in folders if not _ignored(name))
        for name in sorted(names):
            file, suffix = Path(place, name), os.path.splitext(name)[1].lower()
            if _is_clutter(name):
                listing.hidden += 1
            elif suffix in _UNREAD.split():
                unread.append(file)
            elif suffix in _READ.split() or _begins_as_picture(file):
                listing.below += place != str(folder)
                yield file
            else:
                listing.other += 1
    if unread:
        kinds = ", ".join(sorted({file.suffix.lower() for file in unread}))
        raise UserError(
            f"{len(unread)} files in {folder} are in a format that is not read ({kinds})",
            got=unread[0],
            todo=f"convert them (ImageMagick: mogrify -format png {shlex.quote(str(unread[0]))}) and delete the originals",
        )


def _begins_as_picture(file: Path) -> bool:
    """Whether a file whose name does not say so is a picture all the same."""
    try:
        return file.is_file() and kind_of(file) == "a single picture"
    except OSError:
        return False


def _classes(listings: Mapping[str, Listing], folders: Mapping[str, Path]) -> tuple[list[str], list[str]]:
    """The classes in the order of their labels, and sentences about those that a part lacks.

    Raises:
        UserError: none or one, one without training pictures, one that only the test part has.
    """
    train, test = listings["train"].classes, listings["test"].classes
    if empty := [name for name, files in train.items() if not files]:
        got = f"no images in: {', '.join(map(printable, empty[:8]))}"
        raise UserError(f"every class needs a folder with images in {folders['train']}", got=got, todo=_LAYOUT)
    if not train or (len(train) == 1 and set(test) <= set(train)):
        listed = f"{listings['train'].other} files and no folders" if listings["train"].other else "no folders"
        got = f"{folders['train']} holds {', '.join(map(printable, train)) or listed}"
        raise UserError("there must be a folder for each of at least two classes", got=got, todo=_LAYOUT)
    unknown = [name for name, files in test.items() if files and name not in train]
    if unknown:
        other = {name.lower(): name for name in train}.get(unknown[0].lower())
        old = folders["test"] / unknown[0]
        todo = f"mv {shlex.quote(str(old))} {shlex.quote(str(old.with_name(other)))}" if other else _LAYOUT
        got = f"only in {folders['test']}: {', '.join(map(printable, unknown[:8]))}"
        raise UserError("the folders train and test must hold the same classes", got=got, todo=todo)
    if not any(test.values()):
        raise UserError("there are no test images", got=folders["test"], todo=_LAYOUT)
    absent = [name for name in train if not test.get(name)]
    few = [name for name, files in train.items() if len(files) < 5]
    notes = [f"no test images of class {_some(absent)}"] if absent else []
    times = Counter(name.lower() for name in train)
    twins = [name for name in train if times[name.lower()] > 1]
    notes += [f"classes {_some(twins)} differ in capital letters only"] if twins else []
    return list(train), notes + ([f"fewer than 5 training images of class {_some(few)}"] if few else [])


def _left_out(root: Path, listings: Mapping[str, Listing], folders: Mapping[str, Path]) -> list[str]:
    """Sentences about files that are not read, and about folders that might have meant something else."""
    hidden, other = (sum(getattr(listing, kind) for listing in listings.values()) for kind in ("hidden", "other"))
    counts = [f"{hidden} hidden"] * bool(hidden) + [f"{other} not pictures"] * bool(other)
    notes = [f"{hidden + other} files left out: {', '.join(counts)}"] if counts else []
    if below := sum(listing.below for listing in listings.values()):
        notes.append(f"{below} pictures lie in folders inside their class's folder and count to that class")
    others = [entry.name for entry in sorted(root.iterdir()) if entry.is_dir() and entry not in folders.values()]
    if others := [name for name in others if not _ignored(name)]:
        notes.append(
            f"folders {_some(others)} beside train and test are not read (validation examples are drawn from train)"
        )
    return notes


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
