"""Alerts (`config-api.md` C7): rules of the configuration, checked every minute, and the messages that follow.

In: rules, figures, time. Out: a state for each rule, and messages by e-mail, Slack, Teams and webhook.
Promise: what a check found and the messages that follow from it are recorded in one transaction before anything is
sent, so that after any crash no message is lost, and none is made twice. One that was sent at the moment of the crash
may be sent again, under the same id.
"""
