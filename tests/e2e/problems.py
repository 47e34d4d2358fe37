"""Reading a refusal: the problem document, complete, whatever was refused."""

from __future__ import annotations

from typing import Any

from e2e.foreword_process import Answer

JSON = {"Content-Type": "application/json"}


def problem(answer: Answer, *statuses: int) -> dict[str, Any]:
    """The problem document of a refusal, complete and with one of these statuses."""
    assert answer.status in statuses, (answer.status, answer.body)
    assert answer.headers["content-type"].startswith("application/problem+json")
    found: dict[str, Any] = answer.json()
    for name in ("type", "title", "status", "detail", "instance", "code", "message", "request_id"):
        assert found.get(name) not in (None, ""), (name, found)
    assert found["status"] == answer.status
    assert found["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.body.decode()
    return found


def pointers(found: dict[str, Any]) -> set[str]:
    return {error["pointer"] for error in found["errors"]}
