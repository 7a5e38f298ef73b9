"""What is shown of a URL that somebody configured. Pure."""

from urllib.parse import urlsplit, urlunsplit

MASK = "***"


def masked_url(text: str) -> str:
    """A URL without its password and the values of its query; other text as it is."""
    if "://" not in text:
        return text
    try:
        url = urlsplit(text)
    except ValueError:
        return MASK
    host = url.netloc.rpartition("@")[2]
    user = f"{url.netloc.rpartition('@')[0].partition(':')[0]}:{MASK}@" if "@" in url.netloc else ""
    query = "&".join(f"{part.partition('=')[0]}={MASK}" for part in url.query.split("&")) if url.query else ""
    return urlunsplit((url.scheme, user + host, url.path, query, ""))
