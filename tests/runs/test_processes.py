"""Several processes: one that is killed costs its own runs only, and none outlives its parent. Without torch, to start quickly."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

import bnexp
from bnexp.records.ended import Ended
from bnexp.runs.stop import stoppable
from bnexp.runs.workers import Kind, Waiting, Workers

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow


def answer(group: Sequence[str]) -> list[Ended]:
    """Each word is done, except that a process told to die does, and one told to fail raises."""
    if "die" in group:
        os.kill(os.getpid(), signal.SIGKILL)
    if "raise" in group:
        raise RuntimeError("out of luck")
    return [Ended(status="finished", folder=word, reason=os.environ["BNEXP_THREADS"]) for word in group]


def test_every_group_is_answered_and_a_killed_process_costs_its_own_only():
    groups = [["a", "b"], ["die", "c"], ["raise"], ["d"], ["e"]]
    with Workers(2) as workers:
        answers = dict(workers.work(groups, answer))
    assert sorted(answers) == [0, 1, 2, 3, 4]
    assert [one.status for one in answers[1]] == ["interrupted"] * 2
    assert "killed" in answers[1][0].reason
    assert (answers[2][0].status, answers[2][0].reason) == ("failed", "RuntimeError: out of luck")
    assert [one.folder for place in (0, 3, 4) for one in answers[place]] == ["a", "b", "d", "e"]
    assert {one.reason for place in (0, 3, 4) for one in answers[place]} == {"1"}  # one thread each


def who(group: Sequence[str]) -> list[Ended]:
    """The number of the process."""
    return [Ended(status="finished", reason=str(os.getpid())) for _ in group]


def lose(group: Sequence[str]) -> list[Ended]:
    """The number of the process, which has lost its GPU at the first group."""
    reason = f"AcceleratorError: CUDA error: device-side assert triggered {os.getpid()}"
    return [Ended(status="failed", reason=reason if "first" in group else str(os.getpid()))]


def test_a_process_that_lost_its_gpu_is_replaced():
    with Workers(2) as workers:
        answers = dict(workers.work([["first"], ["a"], ["b"], ["c"]], lose))
    lost = answers[0][0].reason.split()[-1]
    assert lost.isdigit()
    assert lost not in {one.reason for place in (1, 2, 3) for one in answers[place]}


def test_processes_stay_from_one_round_to_the_next_and_end_with_the_last():
    with Workers(2) as workers:
        rounds = [{one.reason for _, (one,) in workers.work([["a"], ["b"], ["c"]], who)} for _ in range(2)]
        assert rounds[0] == rounds[1]
        assert len(rounds[0]) <= 2
        assert os.getpid() not in map(int, rounds[0])
    assert not any(alive(int(number)) for number in rounds[0])


def dawdle(group: Sequence[str], folder: Path) -> list[Ended]:
    """Leave the process's number in a file, and sleep for long."""
    (folder / str(os.getpid())).touch()
    time.sleep(60)
    return [Ended(status="finished") for _ in group]


def in_front(folder: Path) -> None:
    """What the parent does; in a process of its own, so that it can be killed."""
    with stoppable(), Workers(2) as workers:
        for _ in workers.work([["a"], ["b"], ["c"]], partial(dawdle, folder=folder)):
            pass


@pytest.mark.parametrize("tell", [os.kill, os.killpg], ids=["the parent", "its whole group"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_process_outlives_a_parent_that_is_told_to_stop_or_killed(tmp_path, number, tell):
    code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import in_front, Path; in_front(Path({str(tmp_path)!r}))"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, start_new_session=True) as parent:
        try:
            wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
            tell(parent.pid, number)
            assert parent.wait(timeout=10) != 0
        finally:
            parent.kill()
    wait_until(lambda: not group(parent.pid))


def group(leader: int) -> list[int]:
    """The processes that live in its group."""
    found = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return [number for number in found if alive(number) and os.getpgid(number) == leader]


def saved(group: Sequence[str], folder: Path) -> list[Ended]:
    """As a run does that is told to stop: it takes a second to save."""
    with stoppable():
        try:
            (folder / str(os.getpid())).touch()
            while True:  # a signal that another thread gets does not end a sleep
                time.sleep(0.01)
        except KeyboardInterrupt:
            for _ in range(100):
                time.sleep(0.01)
            (folder / f"{os.getpid()}.saved").touch()
    return [Ended(status="interrupted") for _ in group]


def in_front_of_those_that_save(folder: Path) -> None:
    """What the parent does; in a process of its own, so that it can be told to stop, and that ignores nothing (pytest may be in the
    background).
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with stoppable(), Workers(2) as workers:
        list(workers.work([["a"], ["b"]], partial(saved, folder=folder)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_parent_waits_for_processes_that_save_what_they_were_at(tmp_path, number):
    call = f"t.in_front_of_those_that_save(t.Path({str(tmp_path)!r}))"
    code = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as t; {call}"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, start_new_session=True) as parent:
        try:
            wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
            os.killpg(parent.pid, number)
            assert parent.wait(timeout=10) != 0
            assert len(list(tmp_path.glob("*.saved"))) == 2
        finally:
            parent.kill()
    wait_until(lambda: not group(parent.pid))


def test_what_a_parent_passes_on_late_does_not_cut_short_the_saving(tmp_path):
    call = f"t.in_front_of_those_that_save(t.Path({str(tmp_path)!r}))"
    code = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as t; {call}"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, start_new_session=True) as parent:
        try:
            wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
            processes = [int(file.name) for file in tmp_path.iterdir()]
            for number in (signal.SIGUSR1, signal.SIGTERM):
                for process in processes:
                    os.kill(process, number)
                time.sleep(0.7)  # of the second that saving takes
            assert parent.wait(timeout=10) == 0
            assert len(list(tmp_path.glob("*.saved"))) == 2
        finally:
            parent.kill()


def how(group: Sequence[str]) -> list[Ended]:
    """The number of the process that this one is a copy of, and whether it brought torch along."""
    return [Ended(status="finished", reason=f"{os.getppid()} {'torch' in sys.modules}") for _ in group]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each process is started anew")
def test_all_processes_are_copies_of_one_that_has_imported_torch():
    with Workers(2) as workers:
        told = {one.reason for _, (one,) in workers.work([["a"], ["b"], ["c"], ["d"]], how)}
    assert len(told) == 1
    number, torch = told.pop().split()
    assert torch == "True"
    assert int(number) != os.getpid()


def test_copies_run_the_code_that_their_parent_runs_and_not_what_is_installed(tmp_path):
    shutil.copytree(Path(bnexp.__file__).parent, tmp_path / "bnexp", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "told.py").write_text(
        "import sys\n"
        "from bnexp.records.ended import Ended\n"
        "from bnexp.runs.workers import Workers\n"
        "def where(group): return [Ended(status='finished', reason=sys.modules['bnexp.runs.workers'].__file__)]\n"
        "if __name__ == '__main__':\n"
        "    import told\n"
        "    with Workers(2) as workers:\n"
        "        print({one.reason for _, (one,) in workers.work([['a'], ['b']], told.where)})\n"
    )
    done = subprocess.run([sys.executable, "-m", "told"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{ {str(tmp_path / 'bnexp' / 'runs' / 'workers.py')} }\n", "")


def test_where_no_socket_can_be_made_each_process_is_started_anew(tmp_path):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    code = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as t; print(t.answered())"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("['a', 'b']\n", "")


def test_where_there_is_nothing_to_do_nothing_is_started():
    code = f"import os, sys; sys.path[:] = {sys.path!r}; import {__name__} as t; t.idle(); print(len(t.group(os.getpid())))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


def idle() -> None:
    """Two processes that nobody needs."""
    with Workers(2) as workers:
        list(workers.work([], answer))


def answered() -> list[str]:
    """What two processes answer."""
    with Workers(2) as workers:
        return sorted(one.folder for _, (one,) in workers.work([["a"], ["b"]], answer))


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kinds(group: Sequence[str]) -> Kind:
    """Words that begin with a capital letter are of a kind, whose costs are 1 each."""
    return Kind(group[0][0], 1, 2) if group[0][0].isupper() else Kind()


def test_groups_of_a_kind_go_to_one_process_and_what_comes_later_is_taken_in():
    groups = [["A1"], ["B1"], ["A2"], ["B2"], ["A3"], ["B3"]]
    with Workers(2) as workers:
        at = {}
        for place, (one,) in workers.work(groups, who, kind=kinds):
            at[groups[place][0]] = one.reason
            if len(at) == 1:
                groups.append(["B4"])
    assert sorted(at) == ["A1", "A2", "A3", "B1", "B2", "B3", "B4"]
    assert all(len({at[word] for word in at if word[0] == kind}) <= 2 for kind in "AB")


def test_a_process_takes_its_own_kind_first_and_another_s_only_where_that_is_worth_it():
    groups = [["a"], ["A1"], ["A2"], ["A3"], ["B1"], ["B2"]]
    waiting = Waiting(groups, kinds)
    assert waiting.look()
    picked = [waiting.pick("B"), waiting.pick(""), waiting.pick("A", {"B"})]
    assert picked == [(4, "B"), (1, "A"), (2, "A")]
    groups.append(["A4"])
    assert waiting.look()
    assert waiting.pick("", {"A", "B"}) == (0, "")  # of no kind
    assert waiting.pick("", {"A", "B"}) == (3, "A")  # two are left, which are worth making ready for
    assert waiting.pick("", {"A", "B"}) is None
    assert [waiting.pick("A", {"B"}), waiting.pick("B", {"A"})] == [(6, "A"), (5, "B")]
    assert not waiting.look()


def test_while_the_first_kind_of_all_is_made_ready_another_process_does_what_needs_nothing():
    waiting = Waiting([["A1"], ["A2"], ["B1"], ["a"]], kinds)
    assert waiting.look()
    assert waiting.pick("") == (0, "A")
    assert waiting.pick("", {"A"}, cold=True) == (3, "")
    assert waiting.pick("", {"A"}, cold=True) == (2, "B")  # rather than nothing
