"""The long run, in pieces, each target in a process of its own: `python tests/fuzz/fuzz_parsers.py`.

libFuzzer (through atheris) steers by coverage, ends a case after 10 s, and a process above its memory. What
it has done is written down after every piece, so that a run that is stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_SECONDS_A_CASE = 10
_MEMORY_MIB = 1_536
_MOST_BYTES = 4_096
# What reads bytes from outside; more would only be slower.
_WATCHED = [
    "recommender.domain",
    "recommender.extraction",
    "recommender.index.snapshot",
    "recommender.api.requests",
    "recommender.service.uploading",
    "gateway.intake",
    "gateway.api.recommendation_query",
    "gateway.bodies",
    "gateway.click_links",
    "gateway.email_links",
    "gateway.proofs",
    "gateway.disclosure",
    "servicekit.outbound_guard",
    "servicekit.wire",
    "servicekit.request_context",
]


def run_target(name: str, engine_arguments: list[str]) -> None:
    """One target in this process; never returns."""
    import atheris

    sys.path.insert(0, str(_HERE.parent))
    with atheris.instrument_imports(
        include=["recommender", "gateway", "contract", "servicekit", "cloudevents"]
    ):
        from fuzz.registry import all_targets

        target = all_targets()[name]
        for seed in target.seeds:  # imports what the check needs, under instrumentation
            target.check(seed)
    atheris.Setup([sys.argv[0], *engine_arguments], target.check)
    atheris.Fuzz()


def _piece(name: str, cases: int, seed: int, folder: Path) -> tuple[int, str | None]:
    """→ (cases done, what was found)."""
    sys.path.insert(0, str(_HERE.parent))
    from fuzz.registry import all_targets

    corpus = folder / "corpus" / name
    if not corpus.is_dir():
        corpus.mkdir(parents=True)
        for number, text in enumerate((*all_targets()[name].seeds, b"\x01" + bytes(range(200)))):
            (corpus / f"seed-{number}").write_bytes(text)
    findings = folder / "findings"
    findings.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            sys.executable,
            __file__,
            "--target",
            name,
            "--",
            str(corpus),
            f"-runs={cases}",
            f"-seed={seed}",
            f"-timeout={_SECONDS_A_CASE}",
            f"-rss_limit_mb={_MEMORY_MIB}",
            f"-max_len={_MOST_BYTES}",
            f"-artifact_prefix={findings}/{name}-",
            "-print_final_stats=1",
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    said = done.stdout + done.stderr
    counted = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
    executed = int(counted[1]) if counted else 0
    if done.returncode == 0 and counted:
        return executed, None
    (findings / f"{name}.txt").write_text(said[-20_000:])
    lines = [
        line
        for line in said.splitlines()
        if re.match(r"\w*(Error|Exception|Interrupt)|SUMMARY|\w+\.\w+.*: ", line)
    ]
    return executed, (lines[0] if lines else f"ended with {done.returncode}")[:300]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target")
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--folder", type=Path, default=Path(".foreword/fuzz"))
    parser.add_argument(
        "--seconds", type=float, default=480.0, help="Stop after about so long; call again to go on."
    )
    parser.add_argument("engine", nargs="*")
    given = parser.parse_args()
    if given.target:
        run_target(given.target, given.engine)
    sys.path.insert(0, str(_HERE.parent))
    from fuzz.registry import all_targets

    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    ledger = folder / "done.json"
    done: dict[str, dict[str, float]] = json.loads(ledger.read_text()) if ledger.is_file() else {}
    targets = {name: t for name, t in all_targets().items() if not given.only or name in given.only}
    whole = sum(t.weight for t in all_targets().values())
    started, found = time.monotonic(), 0
    for name, target in targets.items():
        wanted = -(-given.cases * target.weight // whole)
        entry = done.setdefault(name, {"cases": 0, "seconds": 0.0, "pieces": 0})
        while entry["cases"] < wanted and time.monotonic() - started < given.seconds:
            began = time.monotonic()
            pace = entry["cases"] / entry["seconds"] if entry["seconds"] else 0
            piece = min(int(wanted - entry["cases"]), max(1_000, int(pace * 150)))
            count, finding = _piece(name, piece, int(entry["pieces"]) + 1, folder)
            entry["pieces"] += 1
            if finding is not None:
                found += 1
                print(f"{name}: after {count:,} cases: {finding}")
                break
            entry["cases"] += count
            entry["seconds"] = round(entry["seconds"] + time.monotonic() - began, 1)
            ledger.write_text(json.dumps(done, indent=1))
        print(f"{name}: {int(entry['cases']):,} of {wanted:,} cases in {entry['seconds']:.0f} s", flush=True)
    total = sum(int(entry["cases"]) for entry in done.values())
    print(f"{total:,} cases, {found} findings")
    return 1 if found else 0 if total >= given.cases else 2


if __name__ == "__main__":
    sys.exit(main())
