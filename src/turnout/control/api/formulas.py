"""Formulas for an editor: what one gives, and what may stand in one (`formulas.md`)."""

import re
from collections.abc import Sequence
from datetime import tzinfo
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api.documents import Listing, New, Nothing, Resource, Single
from turnout.control.api.operation import Call, operation
from turnout.control.api.properties import Known, known_properties
from turnout.control.inspector.values import found as found_at
from turnout.formula import FAILED, Formula, FormulaError, Run, compile_formula, compile_template
from turnout.formula.functions import SECTIONS
from turnout.formula.functions.registry import Function
from turnout.formula.limits import TEXT_CHARACTERS
from turnout.formula.values import truthy

_WORD = re.compile(r"""[\w$]+(?:\.[\w$]+)*|"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|[<>=!&|~]+|.""", re.DOTALL)
"""What is marked where something is wrong: a name or path, a number, a text, an operator."""
_LONGEST = 4 * TEXT_CHARACTERS
"""What is much too long is refused, what is too long is told as any other mistake."""
_ELEMENTS = 50


class TryFormula(msgspec.Struct, frozen=True, kw_only=True):
    """Which formula, on which event."""

    formula: Annotated[str, Meta(max_length=_LONGEST, examples=['value * 1.2 > 100 AND currency = "EUR"'])]
    event: Annotated[
        dict[str, object] | UnsetType, Meta(description="Default: an empty one.", examples=[{"value": 59.9}])
    ] = UNSET
    language: Annotated[
        Literal["formula", "template"],
        Meta(description="`template`: a text with `{{ formula }}` in it, as settings of destinations are."),
    ] = "formula"
    within: Annotated[
        Annotated[str, Meta(max_length=256)] | UnsetType,
        Meta(description="Path of a list: the formula is for each of its elements, as in rows; 50 are tried."),
    ] = UNSET


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """Why a text is no formula."""

    message: str
    suggestion: Annotated[str | None, Meta(description="What to do.", examples=["did you mean LOWER?"])]
    offset: Annotated[int, Meta(description="Of the place, in characters (code points) from 0.")]
    length: Annotated[int, Meta(description="Of what stands there; 0 at the end of the text.")]
    line: Annotated[int, Meta(description="From 1.")]
    column: Annotated[int, Meta(description="From 1.")]


class WarningShown(msgspec.Struct, frozen=True, kw_only=True):
    """Something in the event that did not fit; each code is told once."""

    code: str
    message: str


class NoteShown(msgspec.Struct, frozen=True, kw_only=True):
    """Something that works but is probably a mistake."""

    message: str
    offset: int
    length: int


class ValueShown(msgspec.Struct, frozen=True, kw_only=True):
    """What a formula gives."""

    value: object
    holds: Annotated[bool, Meta(description="Whether it is true as a condition.")]
    exceeded: Annotated[
        bool, Meta(description="A limit was exceeded: there is no value, and nothing would be changed.")
    ]
    warnings: list[WarningShown]


class TryFormulaAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """What a text says as a formula. Either `error`, or the rest."""

    error: Annotated[Mistake | None, Meta(description="Null if it is a formula.")]
    usual: Annotated[str | None, Meta(description="The formula in its usual writing; not of templates.")]
    notes: list[NoteShown]
    result: Annotated[ValueShown | None, Meta(description="For the event.")]
    elements: Annotated[list[ValueShown], Meta(description="With `within`: for each element of the list.")]


class ParameterShown(msgspec.Struct, frozen=True, kw_only=True):
    """An argument of a function."""

    name: str
    kind: str
    optional: bool


class ExampleShown(msgspec.Struct, frozen=True, kw_only=True):
    """A formula and its value, as JSON."""

    formula: str
    value: str


class FunctionAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """A function, for completion and help."""

    name: str
    section: str
    signature: Annotated[str, Meta(examples=["SUBSTRING(text, from, [to])"])]
    parameters: list[ParameterShown]
    repeated: Annotated[int, Meta(description="How many of the last parameters may come again, together.")]
    result: str
    help: str
    examples: list[ExampleShown]


class PropertyAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """A property of events. Lists are crossed without an index: `items.product.id`."""

    types: Annotated[list[str], Meta(description="As specified, or as seen.", examples=[["string"]])]
    specified: Annotated[bool, Meta(description="Whether the site's specification, or a standard event, has it.")]
    seen: Annotated[int, Meta(description="In how many of the latest records.")]
    pii: Annotated[bool, Meta(description="Whether it tells who a person is.")]
    label: str
    description: str


class PropertyQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Of which events."""

    event_name: Annotated[str, Meta(max_length=256, description="Only of these events.")] = msgspec.field(
        default="", name="filter[event_name]"
    )


@operation("POST", "/v2/{site}/try/formula", scope="inspector:read", tag="Trying")
def try_formula(call: Call[Nothing, New[TryFormula]]) -> Single[TryFormulaAttributes]:
    """Evaluate a formula on an event, now and in the site's time zone. Nothing is kept.

    A text that is no formula is answered, too: with what is wrong, where, and what to do.
    """
    wanted = call.body.data.attributes
    try:
        attributes = _tried(wanted, call.now_ms, call.world.snapshot().time_zone(call.site))
    except FormulaError as error:
        mistake = Mistake(
            message=error.message,
            suggestion=error.fix or None,
            offset=error.offset,
            length=_length(wanted.formula, error.offset),
            line=error.line,
            column=error.column,
        )
        attributes = TryFormulaAttributes(error=mistake, usual=None, notes=[], result=None, elements=[])
    return Single(Resource(type="try/formula", id=None, attributes=attributes))


@operation("GET", "/v2/{site}/formulas/functions", scope=None, tag="Trying")
def list_functions(call: Call[Nothing, Nothing]) -> Listing[FunctionAttributes]:
    """Every function of the formula language, with its form, help and examples."""
    data = [
        Resource(type="formulas/functions", id=one.name, attributes=_function(section, one))
        for section, functions in SECTIONS.items()
        for one in functions
    ]
    return Listing(data=data, links={"self": call.url})


@operation("GET", "/v2/{site}/formulas/properties", scope="inspector:read", tag="Trying")
def list_properties(call: Call[PropertyQuery, Nothing]) -> Listing[PropertyAttributes]:
    """Properties that events have: those specified, and those of the latest 300 records of the inspector.

    In the order of their paths, which are the ids; 2,000 at most. No values are shown.
    """
    found = known_properties(call.world.inspector, call.world.snapshot(), call.site, call.query.event_name)
    return Listing(data=[_property(one) for one in found], links={"self": call.url})


def _tried(wanted: TryFormula, now_ms: int, zone: tzinfo) -> TryFormulaAttributes:
    """Raises `FormulaError`."""
    event = {} if wanted.event is UNSET else wanted.event
    within = None if wanted.within is UNSET else wanted.within
    compile_ = compile_formula if wanted.language == "formula" else compile_template
    compiled = compile_(wanted.formula, within)
    elements: Sequence[object] = ()
    if within is not None:
        listed = next(found_at(event, within.split(".")), None)
        elements = listed[:_ELEMENTS] if isinstance(listed, list) else ()

    def value(element: object = None, index: int = 0) -> ValueShown:
        run = Run(event, now_ms, zone)
        found = compiled.value(run, element, index)
        return ValueShown(
            value=None if found is FAILED else found,
            holds=found is not FAILED and truthy(found),
            exceeded=found is FAILED,
            warnings=[WarningShown(code=one.code, message=one.message) for one in run.warnings.values()],
        )

    formula = compiled if isinstance(compiled, Formula) else None
    return TryFormulaAttributes(
        error=None,
        usual=formula.usual if formula is not None else None,
        notes=[
            NoteShown(message=one.message, offset=one.offset, length=_length(wanted.formula, one.offset))
            for one in (formula.notes if formula is not None else ())
        ],
        result=value() if within is None else None,
        elements=[value(element, index) for index, element in enumerate(elements)],
    )


def _length(text: str, offset: int) -> int:
    """How long what stands at an offset is."""
    found = _WORD.match(text, offset)
    return len(found[0]) if found is not None else 0


def _function(section: str, one: Function) -> FunctionAttributes:
    return FunctionAttributes(
        name=one.name,
        section=section,
        signature=one.signature,
        parameters=[
            ParameterShown(name=each.name, kind=each.kind.name, optional=each.optional) for each in one.parameters
        ],
        repeated=one.repeated,
        result=one.result,
        help=one.doc,
        examples=[ExampleShown(formula=formula, value=value) for formula, value in one.examples],
    )


def _property(one: Known) -> Resource[PropertyAttributes]:
    attributes = PropertyAttributes(
        types=sorted(one.types),
        specified=one.specified,
        seen=one.seen,
        pii=one.pii,
        label=one.label,
        description=one.description,
    )
    return Resource(type="formulas/properties", id=one.path, attributes=attributes)
