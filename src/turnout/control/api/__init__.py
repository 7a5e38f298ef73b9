"""The REST API (`config-api.md` B): everything under `/v2/{site}/`, described at `/openapi.json` and `/docs`.

In: requests with a token. Out: JSON:API documents, or problems that name everything that is wrong at once.
Promise: an operation is declared once (`operation.py`); its route, checks, authorization and documentation follow
from that, so none of them can be forgotten.
"""
