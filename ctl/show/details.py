"""A launch or a model in full, as ``node-ctl show`` prints it."""

from typing import Any

from ctl.chat.template import template_text
from ctl.show.formatting import ago, decode
from ctl.show.launches import api_base, client_base, measured_speed, serving_text
from ctl.show.models import decode_rows
from ctl.show.plan import beside_lines, command_lines, legend_line, summary_lines
from domain.launches.launch import KeptConversations, LaunchRow
from domain.launches.plan import LaunchOptions, Plan
from domain.launches.proof import ContextProof
from domain.units import counted, gib, rate

OPTIONS = {
    "context_tokens": "--context",
    "parallel": "--parallel",
    "min_decode_tokens_per_s": "--min-decode",
    "min_context_tokens": "--min-context",
    "quality": "--quality",
    "min_quality": "--min-quality",
    "engine": "--engine",
    "threads": "threads",
    "use": "--use",
}


def launch_lines(detail: Any, width: int | None) -> tuple[list[str], list[str]]:
    """Its lines, and those of the engine's command, which is to be pasted."""
    row = decode(LaunchRow, detail["launch"])
    plan = decode(Plan, detail["plan"]) if detail["plan"] else None
    lines = [f"name      {row.name}", f"state     {_state(row)}"]
    if row.waiting:
        lines.append(f"waits for {row.waiting}")
    if row.reduced:
        lines.append(f"reduced   {row.reduced}")
    if row.last_error:
        lines.append(f"error     {row.last_error}")
    lines.append(f"asked for {row.model}{_options(decode(LaunchOptions, detail['options']))}")
    if serving := serving_text(row):
        lines.append(f"served    {serving}")
    lines += _plan_lines(plan) if plan else []
    if measured := detail.get("measured"):
        lines.append(f"measured  {measured_speed(measured, plan)}")
    lines += proof_lines(detail.get("proof"))
    if kept := detail.get("conversations"):
        lines += conversation_lines(decode(KeptConversations, kept))
    if template := detail.get("template"):
        lines.append(f"template  {template_text(template)}")
    if row.endpoint:
        lines.append(f"endpoint  {client_base(row)}")
        lines += [f"engine at {api_base(row.endpoint)}"] if row.gateway not in (None, row.endpoint) else []
    lines += [legend_line(plan)] if plan else []
    return lines, command_lines(plan, width) if plan else []


def conversation_lines(kept: KeptConversations) -> list[str]:
    """None for an engine that nobody has asked."""
    if not kept.in_memory and not kept.on_disk:
        return []
    disk = f"{kept.on_disk} on disk ({gib(kept.disk_bytes)})" if kept.saves else "they are not saved"
    return [f"kept      conversations: {kept.in_memory} in memory, {disk}"]


def proof_lines(data: Any) -> list[str]:
    """What node-ctl prove found, a line for each depth."""
    if data is None:
        return []
    proof = decode(ContextProof, data)
    depth = f"to a depth of {proof.proven_tokens} tokens" if proof.proven_tokens else "to no depth"
    lines = [f"proven    {depth}, {ago(proof.at)} ago"]
    lines += [
        f"          {found.depth_tokens:>8} tokens: decode {rate(found.decode_tokens_per_s)}, "
        f"prompt {rate(found.prefill_tokens_per_s)} tokens/s"
        for found in proof.figures
    ]
    if proof.host_held_bytes is not None and proof.host_planned_bytes is not None:
        held, planned = gib(proof.host_held_bytes), gib(proof.host_planned_bytes)
        lines.append(f"          it held {held} of RAM there, {planned} were planned")
    if proof.failed_tokens is not None:
        window = f", planned with at most {proof.window_tokens} since" if proof.window_tokens else ""
        lines.append(f"          it failed at {proof.failed_tokens} tokens{window}: {proof.failure}")
    return lines


def model_lines(data: Any, width: int | None) -> tuple[list[str], list[str]]:
    """As ``launch_lines``, for a model that is not launched."""
    plan = decode(Plan, data["plan"])
    here = [
        f"on disk   {row.model}, {gib(row.size_bytes)}{', pinned' if row.pinned else ''}"
        for row in decode_rows(data["weights"])
    ]
    refusal = data.get("refusal")
    lacks = [f"lacks     {refusal['message']}", f"next      {refusal['hint']}"] if refusal else []
    return [
        *_plan_lines(plan),
        *beside_lines(plan),
        *lacks,
        *(here or _not_listed(plan)),
        legend_line(plan),
    ], command_lines(plan, width)


def _not_listed(plan: Plan) -> list[str]:
    """A file or folder of the owner's is not in the list of what was downloaded."""
    return [] if plan.weights.location else ["on disk   nothing yet: node-ctl pull downloads it"]


def _plan_lines(plan: Plan) -> list[str]:
    folder = f"{plan.weights.location}/" if plan.weights.location else ""
    files = [f"file      {folder}{file.name}" for file in plan.weights.files]
    return [*summary_lines(plan), *files]


def _state(row: LaunchRow) -> str:
    words = [f"{row.state} for {ago(row.since)}"]
    words += [f"pid {row.pid}"] if row.pid is not None else []
    words += [counted(row.restarts, "restart")] if row.restarts else []
    return ", ".join(words)


def _options(options: LaunchOptions) -> str:
    given = [
        f"{word} {value:g}" if isinstance(value, float) else f"{word} {value}"
        for field, word in OPTIONS.items()
        if (value := getattr(options, field)) is not None
    ]
    given += ["--context max"] if options.max_context else []
    given += ["--from-disk"] if options.from_disk else []
    given += ["--no-mmproj"] if options.no_mmproj else []
    given += ["--no-draft"] if options.no_draft else []
    return f" {' '.join(given)}" if given else ", without options"
