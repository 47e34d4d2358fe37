"""Telling a reader of a mail from the machines that open it first: privacy proxies, scanners, looks ahead.

Apple's Mail Privacy Protection and the image proxies of Gmail and Yahoo load every image, read or not, from
their own addresses; gateways such as Mimecast's open images and links before anybody sees the mail. What they
open says nothing about the recipient, so none of it counts. Gmail's readers are lost with that, on purpose: a
number that is too small is better than one that nobody can read.
"""

from __future__ import annotations

import re

from werkzeug.datastructures import Headers

# Apple's proxy names itself with these eleven characters and nothing else.
_APPLE_PRIVACY = "Mozilla/5.0"
_MACHINES = re.compile(
    r"GoogleImageProxy|ggpht\.com|YahooMailProxy|YahooCacheSystem|OutlookImageProxy|BingPreview|"
    r"Barracuda|Mimecast|Proofpoint|IronPort|FireEye|Forcepoint|MessageLabs|Symantec|TrendMicro|Trend Micro|"
    r"Sophos|Avast|Zscaler|SafeLinks|Microsoft Office Existence Discovery|ms-office|MSOffice|"
    r"SpamAssassin|rspamd|urlscan|VirusTotal|Cloudmark|Vade|Hornetsecurity|"
    r"bot\b|crawler|spider|preview|scanner|HeadlessChrome|PhantomJS|"
    r"^(?:curl|Wget|python-|Python|Java|Go-http-client|libwww|okhttp|Apache-HttpClient|node|axios|Ruby)",
    re.IGNORECASE,
)
_AHEAD = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")


def looks_ahead(method: str, headers: Headers) -> bool:
    """A browser or mail program that fetches what its reader may want next."""
    said = " ".join(headers.get(name, "") for name in _AHEAD).lower()
    return method == "HEAD" or "prefetch" in said or "preview" in said


def is_machine(method: str, headers: Headers) -> bool:
    """Whether nobody read the mail for this request to be made, as far as the request tells."""
    agent = headers.get("User-Agent", "").strip()
    return (
        looks_ahead(method, headers)
        or not agent
        or agent == _APPLE_PRIVACY
        or _MACHINES.search(agent) is not None
    )
