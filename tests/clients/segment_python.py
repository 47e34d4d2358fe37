"""Segment's Python client, as its documentation has it: `segment_python.py URL KEY`, the calls on stdin."""

import json
import sys
from datetime import datetime

from segment import analytics

NAMES = {
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "groupId": "group_id",
    "previousId": "previous_id",
    "messageId": "message_id",
}


def main() -> None:
    analytics.host, analytics.write_key = sys.argv[1:]
    analytics.gzip = True
    failures = []
    analytics.on_error = lambda error, items: failures.append(str(error))
    for call in json.load(sys.stdin):
        arguments = {NAMES.get(name, name): value for name, value in call.items() if name != "type"}
        if "timestamp" in arguments:
            arguments["timestamp"] = datetime.fromisoformat(arguments["timestamp"])
        getattr(analytics, call["type"])(**arguments)
    analytics.shutdown()
    if failures:
        sys.exit("\n".join(failures))


main()
