"""A Model Context Protocol server on standard input and output: tools over the API, for assistants.

In: a token for the API. Out: what its scopes allow, and nothing else; changes only if whoever starts it says so.
Promise: what clients and partners have sent is marked as data, between lines that they can't have guessed.
"""
