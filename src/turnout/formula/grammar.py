"""The grammar of formulas (`formulas.md` §2–§3), in the notation of lark.

Words are operators only where an operator may stand: the lexer asks the parser what may come next ("contextual"),
so a property may be called `in`, `and` or `day`. Only `true`, `false`, `null` and `not` are reserved.
"""

NAME = r"(?:[^\W\d]|\$)[\w$]*"
RESERVED = ("true", "false", "null", "not")

_END = r"(?![\w$])"
GRAMMAR = rf"""
?start: or_expr
?or_expr: and_expr (_OR and_expr)*
?and_expr: not_expr (_AND not_expr)*
?not_expr: NOT not_expr -> negation
    | test
?test: sum
    | sum COMPARE sum -> comparison
    | sum AMONG sum -> among
    | sum AMONG "(" or_expr ("," or_expr)+ ")" -> among
    | sum BETWEEN "(" or_expr "," or_expr ")" -> between
?sum: product ((PLUS | MINUS) product)* -> arithmetic
?product: unary ((TIMES | OVER) unary)* -> arithmetic
?unary: MINUS unary -> negative
    | primary
?primary: NUMBER -> number
    | STRING -> string
    | WORD -> word
    | PATH -> path
    | call
    | array
    | object
    | "(" or_expr ")"
call: FUNCTION "(" [or_expr ("," or_expr)*] ")"
array: OPEN_ARRAY [or_expr ("," or_expr)*] "]"
object: OPEN_OBJECT [entry ("," entry)*] "}}"
entry: (KEY | STRING) ":" or_expr

NOT.4: /not{_END}(?!\s*\.)/i
WORD.4: /(?:true|false|null){_END}(?!\s*\.)/i
FUNCTION.3: /(?!(?i:{"|".join(RESERVED)}){_END}){NAME}(?=\s*\()/
PATH.2: /(?!(?i:{"|".join(RESERVED)}){_END}){NAME}(?:\s*\.\s*(?:{NAME}|\d+{_END}))*/
KEY: /{NAME}/
NUMBER: /\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/
STRING: /"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|“[^”]*”|‘[^’]*’/s
_AND.4: /and{_END}|&&/i
_OR.4: /or{_END}|\|\|/i
AMONG.4: /(?:!?in|startswith|endswith|contains){_END}/i
BETWEEN.4: /between{_END}/i
COMPARE: /==|=|!=|<>|<=|>=|<|>|!~|~/
PLUS: "+"
MINUS: "-"
TIMES: "*"
OVER: "/"
OPEN_ARRAY: "["
OPEN_OBJECT: "{{"
%ignore /[ \t\r\n\u00a0]+/
"""
