"""The configuration under change: versions, edits of its text, secrets that are sealed in it.

In: a whole text, or one small change. Out: a numbered version, in `config.yaml` for every process to follow.
Promise: what is applied was valid as a whole; an edit leaves every byte alone that it does not concern; no secret is
kept in clear; nobody's change is lost unseen, and each is recorded before it is done.

    store.Configurations    current, history, version, apply, edit, restore: the way in for all who write
                            edit(author, origin, now_ms, change: Callable[[Editor], None], expected=None) -> Version
    store.Version           number, at_ms, author, origin, note, hash (for ETag and `expected`), text
    edit.Editor             get(path), set(path, value), put(path, written), remove(path), text: one value in the text
    secrets.Secrets         the key file: seal and open
    difference              what lies between two texts, without secrets
"""
