"""A CSV file from a spreadsheet, with every row made a draft, so that nothing goes live unread."""

from __future__ import annotations

import csv
import io

from servicekit.errors import BadRequest

_SEPARATORS = ",;\t|"


def as_drafts(data: bytes, *, most_rows: int) -> tuple[bytes, str]:
    """→ (the same rows with `status` draft, their media type). Raises `BadRequest` when it is no table.

    The recommender makes them drafts once more, by what it makes of the column names.
    """
    head, rows = _table(data)
    if len(rows) > most_rows:
        raise BadRequest(
            f"A list of more than {most_rows:,} rows is for `foreword import`.", code="too_many_rows"
        )
    names = _names(head)
    place = names.index("status") if "status" in names else len(names)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*head[:place], "status", *head[place + 1 :]])
    for row in rows:
        padded = [*row, *[""] * (len(names) - len(row))]
        writer.writerow([*padded[:place], "draft", *padded[place + 1 :]])
    return out.getvalue().encode(), "text/csv"


def _names(head: list[str]) -> list[str]:
    return [name.strip().lower() for name in head]


def _table(data: bytes) -> tuple[list[str], list[list[str]]]:
    """→ (column names, rows with something in them)"""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    head = text.split("\n", 1)[0]
    separator = max(_SEPARATORS, key=head.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise BadRequest("This is not a table that could be read as CSV.", code="csv_malformed") from error
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        raise BadRequest("The table needs a line of column names and at least one row.", code="csv_empty")
    return rows[0], rows[1:]
