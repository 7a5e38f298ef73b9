"""Why events were not delivered, in words for a person: what a reason means and what to do. Pure.

Reasons are the tokens of `model.outcome.Result`. Those with a number are a partner's HTTP status; one that is not
listed is explained by its class. A word of a destination's own that nobody knows is explained as such.
"""

from collections.abc import Mapping

import msgspec

from turnout.destinations.answers import is_retryable


class Hint(msgspec.Struct, frozen=True):
    """A reason in words. `retryable`: it was tried again before it was given up."""

    title: str
    explanation: str
    fix: str
    retryable: bool = False

    @property
    def text(self) -> str:
        """Explanation and fix together."""
        return f"{self.explanation} {self.fix}"


_AGAIN = "Then replay the dead letters."
_KNOWN: Mapping[str, Hint] = {
    "timeout": Hint(
        "No answer in time",
        "The partner did not answer completely within the time limit.",
        f"Ask the partner about its load, or raise `delivery.timeout_ms`. {_AGAIN}",
        True,
    ),
    "connection_failed": Hint(
        "No connection",
        "No connection to the partner could be made, or it broke off.",
        f"Check that the host and port of the URL are right and that this machine may reach them. {_AGAIN}",
        True,
    ),
    "dns_failed": Hint(
        "Unknown host",
        "The name of the host could not be resolved to an address.",
        f"Check the host in the URL, and this machine's DNS. {_AGAIN}",
        True,
    ),
    "tls_failed": Hint(
        "No trusted TLS connection",
        "The partner's certificate is not trusted, has expired, or is for another host.",
        f"Have the partner renew it; a private authority must be known to this machine. {_AGAIN}",
        True,
    ),
    "bad_response": Hint(
        "No valid HTTP answer",
        "What came back is no HTTP answer, or it ended before it was complete.",
        f"Check that the URL leads to the partner's API and not to another service. {_AGAIN}",
        True,
    ),
    "internal_error": Hint(
        "An error in turnout",
        "The destination's own code failed. This is a bug of the destination, not of the event.",
        "Look for `destination raised` in the server's log and report it. Then replay the dead letters.",
        True,
    ),
    "egress_denied": Hint(
        "Address not allowed",
        "The egress policy refuses the address that the URL leads to.",
        "Metadata and link-local addresses are never allowed; for private ones set TURNOUT_EGRESS_PRIVATE=allow.",
    ),
    "invalid_url": Hint(
        "URL can't be used",
        "The URL, or one that the partner redirects to, is no URL that a request can be sent to.",
        "Correct it in the destination's settings; if it has properties of the event, look at the event's values.",
    ),
    "token_expired": Hint(
        "Credentials have expired",
        "The partner does not take the token any more.",
        f"Renew the credentials in the destination's settings. {_AGAIN}",
    ),
    "destination_deleted": Hint(
        "Destination deleted",
        "The destination was removed from the configuration while these events waited for their next attempt.",
        "Configure it again under the same name, then replay the dead letters.",
    ),
    "mapping_error": Hint(
        "Mapping failed",
        "The destination's mapping could not be applied to the event.",
        "Try the mapping with the event below and correct the row that fails. Then replay the dead letters.",
    ),
    "incomplete": Hint(
        "Data missing",
        "The event lacks something that the partner requires.",
        "Send the property, or map another one to it. Then replay the dead letters.",
    ),
    "invalid_parameter": Hint(
        "Value not accepted",
        "A value of the event is not of the kind that the partner takes.",
        "Correct it where the event is sent, or with a mapping or a cleansing rule. Then replay the dead letters.",
    ),
    "invalid_user": Hint(
        "User not recognised",
        "The event has no data about its user that the partner can use.",
        "Send one of the identifiers that the partner knows: an e-mail address, a phone number, a click id.",
    ),
    "script_error": Hint(
        "Script failed",
        "The destination's own script raised an error.",
        "Read the detail, correct the script, then replay the dead letters.",
    ),
    "script_no_signal": Hint(
        "Script did not finish",
        "The destination's own script ended without saying what came of the event.",
        "Make it call success, failure or filtered on every way through it.",
    ),
    "file_in_use": Hint(
        "File in use",
        "Another destination or program has the file open for writing.",
        f"Give each destination its own `path`. {_AGAIN}",
        True,
    ),
    "disk_full": Hint("Disk full", "There is no room left on the disk.", f"Make room on it. {_AGAIN}", True),
    "io_error": Hint(
        "File can't be written",
        "The operating system refuses to write the file.",
        f"Check that the folder of `path` exists and that the server's user may write there. {_AGAIN}",
        True,
    ),
    "400": Hint(
        "Bad request",
        "The partner does not understand the request: most often a missing or malformed value.",
        "Compare the request with the partner's documentation; its answer usually names the value. Then replay.",
    ),
    "401": Hint(
        "Not authenticated",
        "The partner does not know the credentials of the request.",
        f"Check the key, token or signature in the destination's settings. {_AGAIN}",
    ),
    "403": Hint(
        "Not allowed",
        "The partner knows the credentials but does not allow this request with them.",
        f"Ask the partner for the right, or whether this server's address must be on a list. {_AGAIN}",
    ),
    "404": Hint("Not found", "There is nothing at this URL.", f"Check the URL in the settings. {_AGAIN}"),
    "405": Hint(
        "Method not allowed",
        "The partner does not take this method at this URL.",
        f"Check `method` and the URL in the settings. {_AGAIN}",
    ),
    "408": Hint(
        "Partner waited in vain", "The partner did not get the request in time.", f"Check the network. {_AGAIN}"
    ),
    "410": Hint("Gone", "The partner has closed this URL for good.", f"Ask for the new one. {_AGAIN}"),
    "413": Hint(
        "Request too large",
        "The request is larger than the partner takes.",
        f"Send fewer properties, or fewer events at once with `delivery.batch_size`. {_AGAIN}",
    ),
    "415": Hint(
        "Content type not taken",
        "The partner does not take bodies of this type.",
        f"Set the Content-Type it wants in `headers`. {_AGAIN}",
    ),
    "422": Hint(
        "Values not accepted",
        "The request is well formed, but the partner does not accept a value in it.",
        "Its answer usually names the value: correct it where it is sent, or with a mapping. Then replay.",
    ),
    "429": Hint(
        "Too many requests",
        "The partner takes fewer requests than were sent.",
        f"Send more events per request with `delivery.batch_size`, or ask for a higher limit. {_AGAIN}",
    ),
    "500": Hint(
        "Error at the partner",
        "The receiving server answered 500: an error of its own.",
        f"Ask the partner, with the time of the attempt and its answer. {_AGAIN}",
    ),
    "502": Hint(
        "Partner's server not available",
        "The receiving server answered 502.",
        f"Check its availability. {_AGAIN}",
    ),
    "503": Hint("Partner overloaded", "The receiving server answered 503.", f"Check its availability. {_AGAIN}"),
    "504": Hint("Partner's server too slow", "The receiving server answered 504.", f"Check its availability. {_AGAIN}"),
}
_CLASSES: Mapping[str, Hint] = {
    "1": Hint("Unexpected answer", "The partner gave no final answer.", f"Check the URL. {_AGAIN}"),
    "3": Hint(
        "Redirected",
        "The partner sends to another URL; only GET requests follow, three times at most.",
        f"Put the URL that it leads to into the settings. {_AGAIN}",
    ),
    "4": Hint(
        "Refused by the partner",
        "The partner refuses the request as it is.",
        "Its answer below usually says why: correct the settings or the event's values. Then replay.",
    ),
    "5": Hint(
        "Error at the partner", "The receiving server has an error of its own.", f"Check its availability. {_AGAIN}"
    ),
}
_UNKNOWN = Hint(
    "The destination's own reason",
    "This word is the destination's or the partner's own.",
    "The detail of a sample says more; correct the settings or the event's values. Then replay the dead letters.",
)


def hint_for(reason: str) -> Hint:
    """What a reason means, and what to do about it. Any text is a reason."""
    status = reason[:3]
    if not (status.isascii() and status.isdigit() and (len(reason) == 3 or reason[3] == "_")):
        return _KNOWN.get(reason, _UNKNOWN)
    found = _KNOWN.get(status) or _CLASSES.get(status[0], _UNKNOWN)
    return msgspec.structs.replace(found, retryable=is_retryable(int(status)))
