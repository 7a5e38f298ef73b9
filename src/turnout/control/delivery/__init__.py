"""What delivery looks like from outside: figures, ratios, weather, hints (`config-api.md` C5, `destinations.md` §5).

In: counts by code. Out: what the API, the pages and alerts show. Promise: pure, the same words everywhere.
"""
