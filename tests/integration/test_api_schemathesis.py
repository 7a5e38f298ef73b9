"""Schemathesis over our own OpenAPI document: whatever is asked, the answer is one that the document describes.

Bounded and the same in every run. The site is ours in every request, so that what is behind it is reached.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.api import token_for
from tests.support.server import CONFIG, Server
from turnout.control.api import openapi
from turnout.control.api.operation import Feed, Operation
from turnout.control.api.table import OPERATIONS

ASKED = [one for one in OPERATIONS if one.answer is not Feed]
"""A stream has no end to wait for."""
SCHEMA = schemathesis.openapi.from_dict(openapi.document(ASKED))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
BOUNDED = settings(
    max_examples=8,
    stateful_step_count=6,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Any]]:
    """How to ask a server that has had an event. Any: Schemathesis hands these on as they are."""
    with Server(tmp_path_factory.mktemp("schemathesis") / "data", CONFIG) as server:
        server.post({"event_name": "restocked", "user": {"consent_categories": []}, "context": {"event_id": "e-1"}})
        token = token_for(server, "admin", "29")
        yield {
            "base_url": f"http://127.0.0.1:{server.control_port}",
            "headers": {"Authorization": f"Bearer {token}"},
        }


@pytest.mark.parametrize("operation", ASKED, ids=lambda one: one.name)
def test_every_answer_is_one_that_the_document_describes(operation: Operation, asking: Mapping[str, Any]) -> None:
    described = SCHEMA[operation.path][operation.method]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    cases = st.one_of([described.as_strategy(mode) for mode in modes])

    @BOUNDED
    @given(case=cases)
    def ask(case: Case[Any]) -> None:
        at_our_site(case)
        case.validate_response(case.call(**asking), checks=CHECKS)

    ask()


def test_what_is_made_can_be_followed_to_what_can_be_done_with_it(asking: Mapping[str, Any]) -> None:
    machine = SCHEMA.as_state_machine()

    class Following(machine):  # type: ignore[valid-type, misc] # made from the document
        def before_call(self, case: Case[Any]) -> None:
            at_our_site(case)

        def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
            return dict(asking)

        def validate_response(self, response: Response, case: Case[Any], *_: object, **__: object) -> None:
            case.validate_response(response, checks=CHECKS)

    Following.run(settings=settings(BOUNDED, max_examples=25))


def at_our_site(case: Case[Any]) -> None:
    """Ask for the site that there is, and for a low number: something may be there."""
    if "site" in case.path_parameters:
        case.path_parameters["site"] = "29"
    if isinstance(number := case.path_parameters.get("id"), int):
        case.path_parameters["id"] = number % 8
