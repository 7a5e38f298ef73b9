"""Who may do what: API tokens and their scopes, failed logins, and the record of what was done and looked at.

In: a request's `Authorization`, or the command line. Out: a token with its sites and scopes, or a refusal.
Promise: a token is shown once and stored as a hash; refusals tell nothing about which sites and tokens exist; what
could not be recorded is not done.
"""
