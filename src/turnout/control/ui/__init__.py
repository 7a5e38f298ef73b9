"""The interface for people: pages rendered here, over the same operations as the API.

What must stay true: a page can do nothing that the API can't, because all it has is `Visit.ask`; what events hold
is text and never markup; nothing is loaded from elsewhere; everything but live views works without scripts.
"""
