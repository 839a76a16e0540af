"""``bnexp report``: the page and the table again from the records; imports no torch, trains nothing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bnexp.cli.main import DONE
from bnexp.cli.settings import Parser, as_flags, plugin_names
from bnexp.cli.table import columns, program
from bnexp.config.plugins import import_plugins
from bnexp.errors import UserError, nearest

if TYPE_CHECKING:
    from bnexp.claims.base import Claim
    from bnexp.claims.judge import Judged


#: Settings that may be given with = as well.
SETTINGS = ("budget", "runs_dir", "out", "figures", "plugins", "repeats")


def main(argv: list[str]) -> int:
    """Judge from records, write ``index.html`` and ``table.md``, print the verdicts."""
    arguments = _parser().parse_intermixed_args(as_flags("report", argv, SETTINGS))
    readme = arguments.write_readme
    if readme is not None and readme.is_dir():  # the word after a bare --write-readme is the folder
        arguments.words.insert(0, str(readme))
        readme = Path("README.md")
    repeats = arguments.repeats.expanduser() if arguments.repeats else None
    if repeats and not repeats.is_dir():
        raise UserError("there is no such folder of runs", got=repeats, todo="repeats=FOLDER, the runs that these repeat")
    import_plugins(plugin_names(arguments.plugins))
    claims, runs_dir = _claims_and_folder(arguments.words, arguments.runs_dir)
    budget = kept_budget(runs_dir, arguments.budget)

    from bnexp.records.archive import is_archive
    from bnexp.report.beside import filled, judged_elsewhere
    from bnexp.report.markdown import answer, check_place, markdown_table, put
    from bnexp.report.page import build, gather
    from bnexp.report.pictures import save_figures
    from bnexp.report.words import as_json, verdict_table

    if readme is not None:
        check_place(readme)
    judged = gather(claims, budget, runs_dir)
    told = _add_repetition(judged, repeats, budget) if repeats else ""
    out = arguments.out or (runs_dir if is_archive(runs_dir) else own_folder(runs_dir / "report"))
    with told_if_unwritable(out, "out=FOLDER, one you may write to"):
        others = judged_elsewhere(claims, budget, runs_dir)
        written = build(judged, out, others)
        files = [["page", str(written.page)], ["table", str(written.table)]]
        if arguments.figures:
            files += [[f"figure {name}", told] for name, told in save_figures(judged, arguments.figures).items()]
        if readme is not None:
            known = filled(judged, others)
            put(readme, answer(known), markdown_table(known, short=True))
            files.append(["table in", str(readme)])
    if arguments.json:
        print(json.dumps([as_json(one) for one in judged], allow_nan=False))
    else:
        print("\n\n".join(filter(None, [verdict_table(judged), columns(files), told])))
    return DONE


def _parser() -> Parser:
    parser = Parser(
        "bnexp report",
        usage="bnexp report [FOLDER] [CLAIM ...] [budget=NAME] [out=DIR] [figures=DIR] [plugins=[MODULE]] [repeats=FOLDER] "
        "[--write-readme [FILE]] [--json]",
        description="Verdicts from records: a page, a Markdown table, lines here. "
        "FOLDER is a runs folder or what bnexp export wrote.",
        epilog="budget=full is the same as --budget full, and so are runs_dir=, out=, figures=, plugins= and repeats=.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "words", nargs="*", metavar="FOLDER, CLAIM", help="where the runs are (default: runs); which claims (all)"
    )
    parser.add_argument("--runs-dir", type=Path, help="the folder, said another way")
    parser.add_argument("--budget", help="smoke, quick or full (default: quick if it is there, else the one that is)")
    parser.add_argument(
        "--out", type=Path, help="where to write (default: report, in the runs folder; beside the export itself)"
    )
    parser.add_argument("--figures", type=Path, metavar="DIR", help="write every claim's figure there as SVG and PNG")
    parser.add_argument("--plugins", default="", metavar="[MODULE]", help="your own modules with claims of their own")
    parser.add_argument("--repeats", type=Path, metavar="FOLDER", help="these runs, made with first_seed=N, repeat those there: "
                        "write down beside them what came out again")  # fmt: skip
    parser.add_argument("--write-readme", nargs="?", type=Path, const=Path("README.md"), metavar="FILE",
                        help="put table and answer between the markers of this file (default: README.md)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _add_repetition(judged: Sequence[Judged], folder: Path, budget: str) -> str:
    """Write what these runs say of their claims beside those that they repeat; says how many verdicts came out as there.

    Raises:
        UserError: nothing was reproduced there with this budget, or the runs are partly the very same.
    """
    from bnexp.claims.judge import judge_all
    from bnexp.claims.repetitions import FILE, add_repetition, in_words, repetition_of
    from bnexp.claims.runs import kept_cells
    from bnexp.stats.verdict import counted

    there, claims = kept_cells(folder, kept_budget(folder, budget)), [one.claim for one in judged]
    same = {cell.run_id for cells in there.values() for cell in cells} & {
        cell.run_id for one in judged for cell in one.runs.cells if cell.regime != "tuning"
    }
    if same:
        what = f"a repetition has seeds of its own, and {counted(len(same), 'run')} of these stand in {folder} too"
        todo = f"{program()} reproduce all budget={budget} first_seed=100 runs_dir=again"
        raise UserError(what, got=sorted(same)[0], todo=todo)
    new = repetition_of(judged, budget)
    with told_if_unwritable(folder, "repeats=FOLDER, one you may write to"):
        add_repetition(folder, new)
    primaries = {one.claim.key: one.primary for one in judge_all(claims, budget, folder) if one.primary}
    lines = in_words({key: verdict for key, verdict in primaries.items() if key in new.verdicts})
    return columns([["repetitions in", str(folder / FILE)]]) + "\n" + "\n".join(lines)


def own_folder(folder: Path) -> Path:
    """A folder in a runs folder that is written to without being named.

    Raises:
        UserError: it is a link, which somebody else may have made.
    """
    if folder.is_symlink():
        raise UserError("this folder is a link, which bnexp never makes", got=folder, todo=f"rm '{folder}', or out=FOLDER")
    return folder


@contextmanager
def told_if_unwritable(folder: Path, todo: str) -> Iterator[None]:
    """Tell a full disk, a read-only folder and the like as UserErrors."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"this cannot be written ({error.strerror})", got=error.filename or folder, todo=todo
        ) from error


def _claims_and_folder(words: Sequence[str], runs_dir: Path | None) -> tuple[list[Claim], Path]:
    """The claims that are named, all of them for none or for ``all``, and the one folder.

    Raises:
        UserError: more than one folder, or a word that is neither a claim nor a folder.
    """
    from bnexp.claims import CLAIMS  # here, as everything heavy: --help has to answer at once

    folders, names = [runs_dir.expanduser()] if runs_dir else [], []
    for word in words:
        folder = Path(word).expanduser()
        if word not in ("all", *CLAIMS) and ("/" in word or folder.is_dir()):
            folders.append(folder)
        elif word in ("all", *CLAIMS):
            names.append(word)
        else:
            guess = nearest(word, CLAIMS)
            todo = f"{program()} report {guess}" if guess else f"{program()} list claims"
            raise UserError("this is neither a claim nor a folder", got=word, todo=todo)
    if len(folders) > 1:
        raise UserError(
            "bnexp report reads one folder", got=" ".join(map(str, folders)), todo=f"{program()} report {folders[0]}"
        )
    claims = [CLAIMS[name] for name in (CLAIMS if not names or "all" in names else dict.fromkeys(names))]
    return claims, folders[0] if folders else Path("runs")


def kept_budget(runs_dir: Path, asked: str | None) -> str:
    """The budget asked for; else quick where it is there, else the one that is.

    Raises:
        UserError: no such budget, or nothing was reproduced with it here.
    """
    from bnexp.claims.base import BUDGETS
    from bnexp.records.archive import is_archive, read_cells

    if runs_dir.is_file():
        todo = f"{program()} report {shlex.quote(str(runs_dir.parent))}"
        raise UserError("bnexp report reads a folder, and this is a file", got=runs_dir, todo=todo)
    if not runs_dir.exists() and runs_dir != Path("runs"):
        raise UserError("there is no such folder of runs", got=runs_dir, todo="runs, or what bnexp export wrote: results/quick")
    if asked is not None and asked not in BUDGETS:
        guess = nearest(asked, BUDGETS) or "quick"
        raise UserError(
            f"there is no budget named {asked!r}",
            got=f"budget={asked}",
            todo=f"budget={guess} (known: {', '.join(BUDGETS)})",
        )
    kept = [name for name in BUDGETS if name in read_cells(runs_dir)]
    if asked in kept or (asked is None and kept):
        return asked or ("quick" if "quick" in kept else kept[-1])
    if is_archive(runs_dir) and not kept:
        todo = f"{program()} list runs --runs-dir {shlex.quote(str(runs_dir))}"
        raise UserError("these runs were exported without a claim to judge", got=runs_dir, todo=todo)
    budget, folder = asked or "quick", "" if runs_dir == Path("runs") else shlex.quote(str(runs_dir))
    raise UserError(
        f"nothing was reproduced with budget={budget} in this runs folder",
        got=runs_dir,
        todo=f"{program()} report {folder and folder + ' '}budget={kept[-1]}"
        if kept
        else f"{program()} reproduce all budget={budget}{folder and ' runs_dir=' + folder}",
    )
