"""A Python client as documented: `tracking_client.py segment|rudder URL KEY`, the calls on stdin."""

import importlib
import json
import sys
from datetime import datetime

NAMES = {
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "groupId": "group_id",
    "previousId": "previous_id",
    "messageId": "message_id",
}
# Where each library lives, and what it calls the address it sends to.
LIBRARIES = {"segment": ("segment.analytics", "host"), "rudder": ("rudderstack.analytics", "dataPlaneUrl")}


def main() -> None:
    library, url, key = sys.argv[1:]
    place, address = LIBRARIES[library]
    analytics = importlib.import_module(place)
    setattr(analytics, address, url)
    analytics.write_key = key
    if library == "segment":
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
