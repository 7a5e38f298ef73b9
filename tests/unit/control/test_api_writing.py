"""Changes over the API beside changes from a shell: neither is lost, however close they are."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from turnout.control.access.desk import opened
from turnout.control.api import sources
from turnout.control.api.answer import Api, Request
from turnout.control.api.operation import Operation
from turnout.control.api.repeats import Answer
from turnout.control.api.table import OPERATIONS
from turnout.control.api.world import World
from turnout.control.applied import Watcher
from turnout.control.configuration.edit import Editor
from turnout.control.configuration.secrets import Secrets
from turnout.control.configuration.store import Configurations, Deed, Version
from turnout.log.memory import MemoryLog
from turnout.model.config import Snapshot
from turnout.model.event import ACCEPTED, PROCESSED
from turnout.settings import Settings

CONFIG = """
sites:
  "29":
    sources:
      shop: {type: server, key: 7d0f9a3c-4b21-4e7d-9c55-0d6f2f2b1a10}
      desk: {type: server, key: 8d0f9a3c-4b21-4e7d-9c55-0d6f2f2b1a10}
"""


class Interrupted(Configurations):
    """Somebody applies a file in the last moment before each change."""

    between: Callable[[], object] = staticmethod(lambda: None)

    def edit(
        self,
        author: str,
        origin: str,
        now_ms: int,
        change: Callable[[Editor], None],
        expected: str | None = None,
        note: str = "",
        deed: Deed = Deed("configuration.edit"),  # noqa: B008 - as it is there
    ) -> Version:
        self.between()
        return super().edit(author, origin, now_ms, change, expected, note, deed)


def test_what_a_shell_changed_in_the_last_moment_is_not_overwritten_by_who_asks_for_a_version(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path, os.environ, Secrets(Settings(data=str(tmp_path)).secret_key_path))

    def snapshot() -> Snapshot:
        watcher.refresh()
        return watcher.snapshot

    world = World(
        Settings(data=str(tmp_path)), snapshot, lambda: MemoryLog({ACCEPTED: ["process"], PROCESSED: ["deliver"]})
    )
    secrets = Secrets(world.settings.secret_key_path)
    shell = Configurations(tmp_path, world.database, os.environ, secrets)
    world.configurations = changing = Interrupted(tmp_path, world.database, os.environ, secrets)
    with opened(tmp_path, "cli") as desk:
        _, credential = desk.issue(name="", role="admin", scopes=(), sites=("29",), expires_ms=None, now_ms=1)
    shell.apply(CONFIG, "cli:x", "cli", 1)
    api = Api(world, OPERATIONS)

    def ask(one: Operation, body: object = None, **headers: str) -> Answer:
        given = {"authorization": f"Bearer {credential.text}", "content-type": "application/json", **headers}
        data = msgspec.json.encode(body) if body is not None else b""
        url, params = "/v2/29/sources/1", {"site": "29", "id": "1"}
        return api.answer(one, Request(url=url, params=params, headers=given, body=data, address="", id="req_1"))

    def relabel(name: str, label: str) -> Callable[[], object]:
        return lambda: shell.edit(
            "cli:x", "cli", 2, lambda editor: editor.put(("sites", "29", "sources", name, "label"), label)
        )

    body = {"data": {"attributes": {"description": "ours"}}}
    etag = ask(sources.get_source).headers["ETag"]
    changing.between = relabel("desk", "Theirs")
    assert ask(sources.change_source, body, **{"if-match": etag}).status == 200, "another source is another thing"
    etag = ask(sources.get_source).headers["ETag"]
    changing.between = relabel("shop", "Theirs")
    for one, sent in ((sources.change_source, body), (sources.delete_source, None)):
        refused = ask(one, sent, **{"if-match": etag})
        assert (refused.status, json.loads(refused.body)["errors"][0]["code"]) == (412, "ETAG_MISMATCH")
        changing.between = relabel("shop", "Theirs again")
        etag = ask(sources.get_source).headers["ETag"]
    source = snapshot().sources["29/shop"]
    assert (source.label, source.description, source.status) == ("Theirs again", "ours", "active")
    world.close()
