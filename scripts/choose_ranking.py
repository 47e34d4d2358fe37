#!/usr/bin/env python3
"""Choose the packaged ranking's constants and plain weights on the early part of a log, and write them down.

    scripts/choose_ranking.py ../shared/data/deskdrop

reads assets.ndjson.gz and signals.ndjson.gz of the folder, keeps what comes before --before (nothing later is
looked at), tries constants and weights (recommender.service.ranking_choice), writes the values that did best
into ranking.toml, and a table of all that was tried beside the other figures in docs/quality/.
`foreword learn --choose` does the same for a firm's own log.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import tempfile
from pathlib import Path

import orjson

from recommender.commands.evaluation_inputs import read_inputs
from recommender.domain.ranking_config import RankingConfig
from recommender.domain.ranking_reader import load_ranking_config, ranking_config_table
from recommender.domain.signal_kinds import load_signal_kinds
from recommender.service.evaluation_data import Log, moment
from recommender.service.ranking_choice import CONSTANTS, choose_ranking

ROOT = Path(__file__).parents[1]
PACKAGED = ROOT / "services/recommender/src/recommender/ranking.toml"
WRITTEN = ("interest", "popularity_half_life_hours", "terms")


def early_part(folder: Path, before: float, cache: Path) -> Log:
    """The log up to `before` (epoch seconds): signals by their time, assets by their publication."""
    kinds = load_signal_kinds()
    with tempfile.TemporaryDirectory() as kept:
        files = []
        for name, field in (("assets", "publish_at"), ("signals", "timestamp")):
            target = Path(kept) / f"{name}.ndjson"
            with gzip.open(folder / f"{name}.ndjson.gz") as lines, target.open("wb") as out:
                out.writelines(
                    line for line in lines if (moment(orjson.loads(line).get(field)) or 0.0) < before
                )
            files.append(target)
        return read_inputs(files[:1], files[1:], kinds, "model", None, cache)


def written_into(text: str, config: RankingConfig) -> str:
    """ranking.toml with the chosen numbers in place of the old ones; its comments stay."""
    table = ranking_config_table(config)
    section, lines = "", []
    for line in text.splitlines():
        if found := re.match(r"\[([\w.]+)\]", line):
            section = found[1]
        entry = re.match(r"(\w+) = [^ ]+", line)
        if entry and section in WRITTEN and entry[1] in table[section]:
            value = table[section][entry[1]]
            shown = str(value) if isinstance(value, int) else repr(round(float(value), 4))
            line = f"{entry[1]} = {shown}" + line[entry.end() :]
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", type=Path, help="a folder with assets.ndjson.gz and signals.ndjson.gz")
    parser.add_argument("--before", default="2016-08-05T17:00:13Z", help="nothing later is looked at")
    parser.add_argument("--config", type=Path, default=PACKAGED, help="read, and written anew")
    parser.add_argument("--table", type=Path, default=ROOT / "docs/quality/ranking-choice.json")
    parser.add_argument("--cache", type=Path, default=ROOT / ".foreword", help="where vectors are kept")
    parser.add_argument("--only", default="", help="try only constants whose name holds this pattern")
    parser.add_argument("--days", type=float, default=45.0, help="how far back cases are taken from")
    parser.add_argument("--cases", type=int, default=1_500, help="of the view of all candidates, at most")
    options = parser.parse_args()
    before = moment(options.before)
    if before is None:
        parser.error("--before: a time such as 2016-08-05T17:00:13Z")
    log = early_part(options.log, before, options.cache)
    print(f"{len(log.catalogue)} assets, {len(log.events)} signals before {options.before}", file=sys.stderr)

    def progress(what: str, done: int) -> None:
        if what == "choose" or done % 500 == 0:
            print(f"{what} {done}", file=sys.stderr, flush=True)

    config = load_ranking_config(options.config.read_bytes(), source=str(options.config))
    chosen = choose_ranking(
        log,
        load_signal_kinds(),
        config,
        until=before,
        days=options.days,
        most_cases=options.cases,
        constants=tuple(c for c in CONSTANTS if re.search(options.only, c[0])),
        progress=progress,
    )
    options.table.write_text(
        json.dumps({"before": options.before, "signals": len(log.events), "tried": chosen.tried}, indent=1)
        + "\n"
    )
    options.config.write_text(written_into(options.config.read_text(), chosen.config))
    for row in chosen.tried:
        figures = "  ".join(f"{k[:-11]} {v:.4f}" for k, v in row.items() if k.endswith("_ndcg_at_10"))
        print(f"{row['what']:44s} {row['worth']:.4f}  {figures}{'  kept' if row.get('kept') else ''}")


if __name__ == "__main__":
    main()
