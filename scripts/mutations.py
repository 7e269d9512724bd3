"""The changes that a mutation test makes in the source of a module, one at a time."""

import ast
from collections import Counter
from collections.abc import Iterator

SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.Lt), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,), ast.Mod: (ast.Mult,), ast.Pow: (ast.Mult,),
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
NOT_CODE = {"annotation", "returns", "decorator_list", "format_spec"}


def variants(node: ast.AST, place: str) -> Iterator[ast.AST]:
    """What may stand instead of this node; ``place`` is its field in the parent."""
    yield from _operators(node)
    yield from _constants(node, place)
    yield from _statements(node)
    if place in {"test", "ifs"} and isinstance(node, ast.Name | ast.Call | ast.Attribute | ast.NamedExpr):
        yield ast.UnaryOp(ast.Not(), node)


def _operators(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=right):
            yield from (ast.Compare(left, [new()], right) for new in SWAPS.get(type(op), ()))
        case ast.BoolOp(op=op, values=values):
            yield from (ast.BoolOp(new(), values) for new in SWAPS[type(op)])
        case ast.BinOp(left=left, op=op, right=right):
            yield from (ast.BinOp(left, new(), right) for new in SWAPS.get(type(op), ()))
        case ast.AugAssign(target=target, op=op, value=value):
            yield from (ast.AugAssign(target, new(), value) for new in SWAPS.get(type(op), ()))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand


def _constants(node: ast.AST, place: str) -> Iterator[ast.AST]:
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(value=str(value)) if place in {"key", "slice"}:
            yield ast.Constant(value + "-")
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in NAMES:
            yield ast.Call(ast.Name(NAMES[name]), args, keywords)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Return(value=ast.Constant(value=value)) if not value:
            return  # None instead of what is false would change nothing
        case ast.Return(value=ast.expr()):
            yield ast.Return(ast.Constant(None))
        case ast.Continue():
            yield ast.Break()
        case ast.Raise():
            yield ast.Pass()
        case ast.Expr(value=ast.Call() | ast.Await() as call) if not ast.unparse(call).startswith("log."):
            yield ast.Pass()


class Mutator(ast.NodeTransformer):
    """Lists the mutants of a module, and puts the chosen one in its place."""

    def __init__(self, chosen: str = "") -> None:
        self.chosen, self.scope, self.seen, self.lines = chosen, [], Counter(), {}

    def visit(self, node: ast.AST, place: str = "") -> ast.AST:
        for new in variants(node, place):
            name = f"{'.'.join(self.scope) or 'module'}: {ast.unparse(node)} -> {ast.unparse(new)}"
            self.seen[name] += 1
            name += f" #{self.seen[name]}" if self.seen[name] > 1 else ""
            self.lines[name] = node.lineno
            if name == self.chosen:
                return new
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        self.scope += [node.name] if named else []
        for field, old in ast.iter_fields(node):
            if isinstance(old, list) and field not in NOT_CODE:
                key = "key" if field == "keys" or (field == "args" and is_lookup(node)) else field
                old[:] = [self.visit(part, key) if isinstance(part, ast.AST) else part for part in old]
            elif isinstance(old, ast.AST) and field not in NOT_CODE:
                setattr(node, field, self.visit(old, field))
        self.scope = self.scope[:-1] if named else self.scope
        return node


def is_lookup(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"get", "pop"}
    )


def mutated(source: str, chosen: str = "") -> tuple[str, dict[str, int]]:
    """The module with the chosen mutant, and the lines of all of its mutants by name."""
    mutator = Mutator(chosen)
    tree = ast.fix_missing_locations(mutator.visit(ast.parse(source)))
    return ast.unparse(tree), mutator.lines
