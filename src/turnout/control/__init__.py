"""The control plane: the configuration's way in, and the figures' way out.

In: `turnout.yaml`, the processes' facts, receipts. Out: snapshots for the stages, health and metrics over HTTP.
Promise: a wrong configuration never replaces a working one, and every error in it is named with its path.
"""
