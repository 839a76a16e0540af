"""Several runs of one arm brought to their ends as one vectorised program, each with a record of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from bnexp.config.schema import ExperimentConfig, with_value
from bnexp.engine.build import Experiment, build, import_plugins, load_data
from bnexp.engine.journal import ShareOfStopwatch, Stopwatch
from bnexp.engine.step import reason_for_eager
from bnexp.errors import UserError
from bnexp.runs.execute import Result, RunFailed, execute, terminable
from bnexp.runs.folder import occupied, told_if_disk_refuses
from bnexp.runs.recording import Recording, Request, request

Asked = tuple[ExperimentConfig, Sequence[str]]
Answer = Result | UserError | RunFailed


def stacks(configs: Sequence[ExperimentConfig], size: int) -> list[list[int]]:
    """Places of runs that can train as one program, at most ``size`` of them: nothing but seed and learning rate differs.

    A run whose forward pass draws random numbers is alone.
    """
    if size == 1:
        return [[place] for place in range(len(configs))]
    groups: dict[str, list[list[int]]] = {}
    for place, config in enumerate(configs):
        import_plugins(config.plugins)
        neutral = with_value(with_value(with_value(config, "seed", 0), "optimizer.lr", 1.0), "force", False)
        alone = f"{place}" if reason_for_eager(config) else ""
        rows = groups.setdefault(f"{neutral!r}{alone}", [[]])
        if len(rows[-1]) == size:
            rows.append([])
        rows[-1].append(place)
    return [row for rows in groups.values() for row in rows]


def execute_together(asked: Sequence[Asked]) -> list[Answer]:
    """What :func:`bnexp.runs.execute.execute` does, for all runs at once: each one's result, or what stopped it, in their order.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; the same command continues from the last checkpoints.
    """
    if len(asked) == 1:
        return [_alone(*asked[0])]
    answers: dict[int, Answer] = {}
    recordings: dict[int, Recording] = {}
    with ExitStack() as open_folders:
        open_folders.enter_context(terminable())
        data = None
        for place, (config, overrides) in enumerate(asked):
            try:
                wanted = request(config, overrides)
                if wanted.place.complete:
                    answers[place] = Result(wanted.place.complete, skipped=True)
                    continue
                data = data or load_data(wanted.config)
                recordings[place] = _open(wanted, build(wanted.config, data), open_folders)
            except UserError as error:
                answers[place] = error
        for resumed_at in {recording.resumed_at for recording in recordings.values()}:
            group = {p: recording for p, recording in recordings.items() if recording.resumed_at == resumed_at}
            answers |= dict(zip(group, _train(list(group.values()), resumed_at), strict=True))
    return [answers[place] for place in range(len(asked))]


def _alone(config: ExperimentConfig, overrides: Sequence[str]) -> Answer:
    try:
        return execute(config, overrides, show=False)
    except (UserError, RunFailed) as error:
        return error


def _open(wanted: Request, experiment: Experiment, open_folders: ExitStack) -> Recording:
    open_folders.enter_context(occupied(wanted.place))
    with told_if_disk_refuses(wanted.place.folder):
        return Recording(wanted, experiment)


def _train(recordings: Sequence[Recording], resumed_at: int | None) -> list[Answer]:
    """One program for runs that are at the same step; a failure is everybody's."""
    from bnexp.engine.ensemble import Member, train_together

    whole = Stopwatch()
    try:
        with told_if_disk_refuses(recordings[0].folder.parent):
            members = [
                Member(
                    one.experiment, one.journal(ShareOfStopwatch(whole, len(recordings), one.spent), False), one.save
                )
                for one in recordings
            ]
            outcomes = train_together(members, whole, resumed_at)
            return [Result(one.conclude(o), skipped=False) for one, o in zip(recordings, outcomes, strict=True)]
    except (KeyboardInterrupt, UserError):
        for one in recordings:
            one.abandon()
        raise
    except Exception as error:  # one program's bug must not cost other runs their turn
        for one in recordings:
            one.fail(error)
        return [RunFailed(one.folder, error) for one in recordings]
