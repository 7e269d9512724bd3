"""Writes what docs/planning.md shows of the choice: ``python -m tests.rigs.planning_page``."""

from math import log2

from config.data import profile
from domain.launches.plan import LaunchOptions
from domain.units import percent, rate
from planner.choose import value
from planner.choose.candidates import Candidate
from planner.choose.choose import search_contexts
from planner.choose.context import SearchContext
from planner.machine.budget import DEFAULT_RESERVE
from planner.machine.calibration import UNCALIBRATED
from tests.conftest import ROOT
from tests.rigs.best_commands import Row, bits, compared, quants_of

PAGE = ROOT / "docs" / "planning.md"
PICTURE = ROOT / "docs" / "planning-value.svg"
EXAMPLE = ("qwen3-coder-30b-a3b", "rtx-4090", 32768)
STARTS = ((5.0, "#0a7d5a"), (15.0, "#1f5fbf"), (40.0, "#b03a2e"))  # tokens/s, with a color that prints well
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 640, 360, 56, 16, 44
FONT = 'font-family="sans-serif" font-size="12"'
MOST_LOSS, MOST_SPEEDUP = 10.0, 16.0


def replaced(page: str, name: str, text: str) -> str:
    """``page`` with ``text`` between the marks of ``name``."""
    begin, end = f"<!-- {name}: by tests.rigs.planning_page -->\n", f"<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}{text}{end}{after}"


def example() -> str:
    """Each quant that was searched, with the terms of its value."""
    model, box, context_tokens = EXAMPLE
    options = LaunchOptions(context_tokens=context_tokens)
    search = SearchContext(profile(box), options, UNCALIBRATED, DEFAULT_RESERVE)
    found = search_contexts(quants_of(model), context_tokens, search)
    best = {one.quant: one for one in sorted(found, key=lambda one: value.value(one, options))}
    rows = sorted(best.values(), key=lambda one: -value.value(one, options))
    head = "| quant | placed | prompt/s | tokens/s | turn | log2(3600/turn) | loss | its cost | value |\n"
    return head + "|---|---|---|---|---|---|---|---|---|\n" + "".join(_terms(one, options) for one in rows)


def _terms(one: Candidate, options: LaunchOptions) -> str:
    seconds, prefill = value.turn_s(one, value.use_of(options)), one.estimate.speed.prefill_tokens_per_s
    if not seconds or not prefill:
        raise ValueError(f"{one.quant} has no speed")
    cells = [
        one.quant,
        "GPU" if one.is_offloaded else "GPU + CPU",
        rate(prefill.low),
        rate(one.low_tokens_per_s or 0.0),
        f"{seconds:.1f} s",
        f"{log2(3600 / seconds):.2f}",
        percent(one.loss),
        f"{value.loss_cost(one.loss):.2f}",
        f"{value.value(one, options):.2f}",
    ]
    return f"| {' | '.join(cells)} |\n"


def commands() -> str:
    """What is chosen beside what was published, and how many are alike."""
    rows = compared()
    lines = [
        "| model | box | chosen | tokens/s | published | tokens/s | why they differ |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_command(row) for row in rows]
    counts = ["", "| | rows | quant | placed | speed | all three |", "|---|---|---|---|---|---|"]
    for name, sets in (("set the constants", True), ("report", False)):
        own = [row for row in rows if row.sets_constants is sets]
        figures = [
            len(own),
            *(sum(getattr(row, what) for row in own) for what in ("same_quant", "same_place", "same_speed")),
            sum(row.is_alike for row in own),
        ]
        counts.append(f"| {name} | {' | '.join(map(str, figures))} |")
    return "\n".join([*lines, *counts]) + "\n"


def _command(row: Row) -> str:
    chosen, published = row.chosen, row.published
    quant, speed = ("nothing", None) if chosen is None else (chosen.quant, chosen.decode_tokens_per_s)
    place = "" if chosen is None or chosen.is_offloaded else ", part on the CPU"
    their_place = "" if published["all_on_gpus"] else ", part on the CPU"
    theirs = published["decode_tokens_per_s"]
    cells = [
        row.model if row.sets_constants else f"{row.model} (reports)",
        row.box,
        quant + (place if row.box != "4 cores" else ""),
        rate(speed) if speed else "?",
        published["quant"] + (their_place if row.box != "4 cores" else ""),
        rate(theirs) if theirs else "?",
        "; ".join(_why(row)),
    ]
    return f"| {' | '.join(cells)} |"


def _why(row: Row) -> list[str]:
    why, command, chosen = [], row.published["command"] or "", row.chosen
    if chosen is None:
        return ["does not fit"]
    if row.published["all_on_gpus"] and not chosen.is_offloaded:
        has_small_cache = "q4_0" in command
        why.append(
            "theirs has a cache in 4 bits" if has_small_cache else "theirs is small enough for the GPU"
        )
    if not row.same_quant:
        has_more_bits = bits(chosen.quant) > bits(row.published["quant"])
        other = "theirs loses more" if has_more_bits else "theirs loses less, and is slower here"
        why.append(other)
    if row.published.get("drafts"):
        why.append("theirs drafts")
    elif not row.same_speed and chosen.decode_tokens_per_s:
        faster = chosen.decode_tokens_per_s / row.published["decode_tokens_per_s"]
        why.append(f"{faster:.1f} times theirs is expected")
    return why


def picture() -> str:
    """By how much a quant must be faster to be worth what it loses, for some speeds without that loss."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for loss in range(0, 11, 2):
        parts.append(_line(_x(loss), TOP, _x(loss), HEIGHT - BOTTOM))
        parts.append(_text(_x(loss), HEIGHT - BOTTOM + 16, f"{loss} %", "middle"))
    for times in (1, 2, 4, 8, 16):
        parts.append(_line(LEFT, _y(times), WIDTH - 16, _y(times)))
        parts.append(_text(LEFT - 6, _y(times) + 4, f"{times}x", "end"))
    for start, color in STARTS:
        points = [(loss / 10, needed) for loss in range(101) if (needed := speedup(start, loss / 10))]
        line = " ".join(f"{_x(loss):.1f},{_y(times):.1f}" for loss, times in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        loss, times = points[-1]
        parts.append(_text(_x(loss) - 8, _y(times) + 14, f"{start:g} tokens/s", "end", color))
    parts.append(_text(WIDTH / 2, HEIGHT - 10, "perplexity that is lost", "middle"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def speedup(start: float, loss: float) -> float | None:
    """The factor on ``start`` tokens/s that makes up for ``loss`` percent in a chat; ``None`` beyond the
    picture. Prompts are left out."""
    use = value.USES[value.DEFAULT_USE]
    read_s = use.answer_tokens / use.taken_in_tokens_per_s
    turn_s = (use.answer_tokens / start + read_s) / 2 ** value.loss_cost(loss) - read_s
    factor = use.answer_tokens / turn_s / start if turn_s > 0 else None
    return factor if factor and factor <= MOST_SPEEDUP else None


def _x(loss: float) -> float:
    return LEFT + loss / MOST_LOSS * (WIDTH - LEFT - 16)


def _y(times: float) -> float:
    return HEIGHT - BOTTOM - log2(times) / log2(MOST_SPEEDUP) * (HEIGHT - TOP - BOTTOM)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str, color: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{text}</text>'


if __name__ == "__main__":
    page = replaced(PAGE.read_text(), "example", example())
    PAGE.write_text(replaced(page, "commands", commands()))
    PICTURE.write_text(picture())
