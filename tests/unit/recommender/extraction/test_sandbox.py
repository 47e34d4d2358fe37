"""The sandbox: the same answers as without it, and nothing that a file does reaches the service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from recommender.extraction.documents import extract
from recommender.extraction.errors import (
    Busy,
    Encrypted,
    ExtractionError,
    Interrupted,
    Malformed,
    NoText,
    ReaderFailed,
    TooLarge,
    TooMuchMemory,
    TooSlow,
    UnsupportedForm,
)
from recommender.extraction.limits import Limits
from recommender.extraction.reader_process import ReaderProcess
from recommender.extraction.sandbox import Sandbox
from recommender.extraction.wire import JobHead, decode_answer
from unit.recommender.extraction.made_files import (
    ENGLISH,
    MARKDOWN,
    PAGE,
    encrypted_pdf,
    pdf,
    slide_deck,
    word_file,
    zeros_archive,
)

SLOW = b"*a_ " * 1_500_000  # a Markdown file that takes the parser tens of seconds
GREEDY = b"<html><body>" + b"<p>x" * 4_000_000  # a page that unfolds into hundreds of megabytes


pytestmark = pytest.mark.slow  # every worker costs the start of an interpreter


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1, busy_wait_seconds=60.0) as made:
        yield made


def pids(sandbox: Sandbox) -> list[int]:
    return [place.pid for place in list(sandbox._places.queue) if place is not None]


@pytest.mark.parametrize(
    ("data", "filename"),
    [
        (pdf(ENGLISH), "a.pdf"),
        (encrypted_pdf(pdf(ENGLISH), ""), "a.pdf"),
        (word_file(), "a.docx"),
        (slide_deck(), "a.pptx"),
        (PAGE, "a.html"),
        (MARKDOWN, "a.md"),
        ("Größe und Maß".encode("cp1252") * 9, "a.txt"),
        ("Это руководство описывает требования.".encode("cp1251") * 3, "a.txt"),
        (ENGLISH.encode("utf-16"), "ä/ö\\ü.txt"),
    ],
    ids=["pdf", "encrypted", "docx", "pptx", "html", "markdown", "latin", "cyrillic", "utf16"],
)
def test_the_same_answer_as_without_it(sandbox: Sandbox, data: bytes, filename: str) -> None:
    assert sandbox.extract(data, filename) == extract(data, filename, None, Limits())


@pytest.mark.parametrize(
    ("data", "filename", "kind"),
    [
        (b"", "a.txt", NoText),
        (b"MZ\x90\x00" + bytes(99), "a.pdf", UnsupportedForm),
        (encrypted_pdf(pdf(ENGLISH), "x"), "a.pdf", Encrypted),
        (pdf(ENGLISH)[:500], "a.pdf", Malformed),
        (zeros_archive("word/document.xml", 3 << 30), "a.docx", TooLarge),
        (bytes(50_000_000), "a.pdf", TooLarge),
    ],
)
def test_the_same_errors_as_without_it(
    sandbox: Sandbox, data: bytes, filename: str, kind: type[ExtractionError]
) -> None:
    with pytest.raises(ExtractionError) as inside:
        sandbox.extract(data, filename)
    with pytest.raises(kind) as outside:
        extract(data, filename, None, Limits())
    assert type(inside.value) is kind
    assert inside.value.message == outside.value.message


def test_a_worker_is_kept_after_refusals_and_replaced_after_one_that_may_have_harmed_it() -> None:
    with Sandbox(Limits(memory_bytes=64 << 20, wall_seconds=100.0), workers=1) as sandbox:
        sandbox.warm_up()
        before = pids(sandbox)
        with pytest.raises(UnsupportedForm):
            sandbox.extract(b"MZ" + bytes(99), "a.pdf")
        with pytest.raises(Malformed):
            sandbox.extract(b"%PDF-1.4 rubbish", "a.pdf")
        assert pids(sandbox) == before
        with pytest.raises(TooMuchMemory):
            sandbox.extract(GREEDY, "a.html")
        assert pids(sandbox) != before
        assert sandbox.extract(MARKDOWN, "a.md").title == "The veto list"


def test_a_worker_is_replaced_after_a_number_of_jobs() -> None:
    with Sandbox(workers=1, jobs_per_worker=2) as sandbox:
        seen = []
        for _ in range(3):
            sandbox.extract(MARKDOWN, "a.md")
            seen += pids(sandbox)
        assert seen[0] != seen[1] == seen[2]
        assert sandbox.state().replaced == 1


@pytest.mark.parametrize(
    ("limits", "data", "filename", "kind"),
    [
        (Limits(wall_seconds=1.0), SLOW, "a.md", TooSlow),
        (Limits(cpu_seconds=1, wall_seconds=100.0), SLOW, "a.md", TooSlow),
        (Limits(memory_bytes=64 << 20, wall_seconds=100.0), GREEDY, "a.html", TooMuchMemory),
    ],
    ids=["clock", "cpu", "memory"],
)
def test_limits_hold(limits: Limits, data: bytes, filename: str, kind: type[ExtractionError]) -> None:
    with Sandbox(limits, workers=1) as sandbox, pytest.raises(kind):
        sandbox.extract(data, filename)


@pytest.mark.parametrize(
    ("sign", "kind"),
    [(signal.SIGKILL, Interrupted), (signal.SIGSEGV, Malformed), (signal.SIGABRT, TooMuchMemory)],
)
def test_a_worker_that_dies_at_work_gives_a_clean_error_and_the_next_call_works(
    sandbox: Sandbox, sign: signal.Signals, kind: type[ExtractionError]
) -> None:
    sandbox.warm_up()
    (pid,) = pids(sandbox)
    killer = threading.Timer(0.5, os.kill, (pid, sign))
    killer.start()
    with pytest.raises(kind):
        sandbox.extract(SLOW, "a.md")
    killer.join()
    assert sandbox.extract(MARKDOWN, "a.md").title == "The veto list"


def test_a_worker_that_died_idle_is_not_noticed(sandbox: Sandbox) -> None:
    sandbox.warm_up()
    os.kill(pids(sandbox)[0], signal.SIGKILL)
    time.sleep(0.1)
    assert sandbox.extract(MARKDOWN, "a.md").title == "The veto list"


def test_many_threads_share_one_worker(sandbox: Sandbox) -> None:
    sandbox.warm_up()
    started = sandbox.state().started
    with ThreadPoolExecutor(12) as threads:
        titles = list(threads.map(lambda _: sandbox.extract(MARKDOWN, "a.md").title, range(36)))
    assert titles == ["The veto list"] * 36
    assert sandbox.state().started == started


def test_one_caller_too_many_is_told() -> None:
    made = Sandbox(Limits(wall_seconds=2.0), workers=1, busy_wait_seconds=0.1)
    with made as sandbox, ThreadPoolExecutor(1) as threads:
        sandbox.warm_up()
        blocker = threads.submit(sandbox.extract, SLOW, "a.md")
        while sandbox.state().busy == 0:
            time.sleep(0.01)
        with pytest.raises(Busy):
            sandbox.extract(MARKDOWN, "a.md")
        with pytest.raises(TooSlow):
            blocker.result()


def test_closing_leaves_no_process_behind() -> None:
    sandbox = Sandbox(workers=1)
    sandbox.warm_up()
    (pid,) = pids(sandbox)
    sandbox.close()
    sandbox.close()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(Interrupted):
        sandbox.extract(MARKDOWN, "a.md")


def test_a_worker_ends_when_its_parent_is_killed() -> None:
    program = (
        "import sys, time; from recommender.extraction.sandbox import Sandbox; s = Sandbox(); s.warm_up();"
        "print(s._places.queue[-1].pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        parent.kill()
    deadline = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_holds_no_secret_and_no_open_file_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    with (tmp_path / "open").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        process = ReaderProcess()
        try:
            process.wait_until_ready()
            assert b"DATABASE_URL" not in Path(f"/proc/{process.pid}/environ").read_bytes()
            targets = [os.readlink(entry) for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
            assert str(tmp_path / "open") not in targets
            assert len(targets) <= 4
        finally:
            process.stop()


def test_a_confined_process_reads_no_files_and_reaches_nobody() -> None:
    program = """
import socket, subprocess, os, sys
from recommender.extraction.confinement import Refused, confine_process
confine_process()
tries = [lambda: open('/etc/passwd'), lambda: open('/dev/shm/x', 'w'),
         lambda: os.open('/etc/hosts', os.O_RDONLY), lambda: subprocess.run(['true']), lambda: os.fork(),
         lambda: socket.create_connection(('127.0.0.1', 9)),
         lambda: os.system('true'), lambda: os.remove('/dev/shm/x')]
for number, attempt in enumerate(tries):
    try:
        attempt()
    except Refused:
        continue
    print('not refused', number)
import colorsys  # a module that nobody has imported yet still can be
print('end')
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.stdout.split("\n")[:-1] == ["end"], ran.stdout + ran.stderr


def test_a_worker_that_answers_nonsense_is_a_failed_reader() -> None:
    for payload in (
        b"",
        b"[]",
        b"{}",
        b'{"fit": true}',
        b'{"fit": true, "extracted": {"title": 1}}',
        b"\xff",
    ):
        with pytest.raises(ReaderFailed):
            decode_answer(payload)
    unknown = decode_answer(b'{"fit": true, "error": {"code": "never_heard_of", "message": "m"}}')
    assert isinstance(unknown.error, ReaderFailed)


def test_an_answer_over_the_limit_is_refused() -> None:
    process = ReaderProcess()
    try:
        process.wait_until_ready()
        limits = replace(Limits(), max_answer_bytes=2_000)
        answer = process.run(ENGLISH.encode() * 100, JobHead("a.txt", None, limits))
        assert isinstance(answer.error, Malformed)
    finally:
        process.stop()
