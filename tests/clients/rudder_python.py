"""RudderStack's Python client as documented: `rudder_python.py URL KEY`, the calls on stdin."""

import json
import sys
from datetime import datetime

import rudderstack.analytics as rudder_analytics

NAMES = {
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "groupId": "group_id",
    "previousId": "previous_id",
    "messageId": "message_id",
}


def main() -> None:
    rudder_analytics.dataPlaneUrl, rudder_analytics.write_key = sys.argv[1:]
    failures = []
    rudder_analytics.on_error = lambda error, items: failures.append(str(error))
    for call in json.load(sys.stdin):
        arguments = {NAMES.get(name, name): value for name, value in call.items() if name != "type"}
        if "timestamp" in arguments:
            arguments["timestamp"] = datetime.fromisoformat(arguments["timestamp"])
        getattr(rudder_analytics, call["type"])(**arguments)
    rudder_analytics.shutdown()
    if failures:
        sys.exit("\n".join(failures))


main()
