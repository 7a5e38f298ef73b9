"""The interface, in a real browser."""
