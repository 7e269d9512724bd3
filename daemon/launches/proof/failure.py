"""What follows where an engine ends while its context is proved. Called by the supervisor alone."""

from dataclasses import replace

from daemon.app import App
from daemon.launches.launch import Launch
from daemon.launches.proof.run import ProofRun
from daemon.planning import context_proofs
from daemon.state.records import now
from domain.errors import NodeError
from domain.events import EventKind
from domain.launches.plan import Plan
from domain.launches.proof import ContextProof


async def note(app: App, launch: Launch, error: NodeError | None) -> None:
    """Ends the proof of ``launch``, whose engine has ended or is to end. Where it failed in a piece of the
    proof, that is stored and the next start takes a smaller window."""
    run, launch.proof_run = launch.proof_run, None
    if run is None:
        return
    why = run.failure or (error.in_full if error is not None else None)
    if launch.plan is not None and run.trying_tokens is not None and why and not launch.orders.must_end:
        run.outcome = await _store(app, launch, launch.plan, run, why)
    run.over.set()


async def _store(app: App, launch: Launch, plan: Plan, run: ProofRun, why: str) -> str:
    window = context_proofs.smaller_window(plan.context_tokens)
    proof = ContextProof(
        at=now(),
        planned_tokens=plan.context_tokens,
        loaded_tokens=launch.loaded_context_tokens,
        proven_tokens=run.figures[-1].depth_tokens if run.figures else None,
        figures=tuple(run.figures),
        failed_tokens=run.trying_tokens,
        failure=why,
        window_tokens=window,
    )
    await context_proofs.record(app, plan, proof)
    launch.proof = proof
    then = "no smaller one is planned"
    if window is not None:
        launch.fingerprint = None  # planned again, by what is stored
        then = f"it is planned again with at most {window}"
    message = (
        f"{launch.name} failed at a depth of {run.trying_tokens} tokens in a context of "
        f"{plan.context_tokens}, {then}: {why}"
    )
    await app.events.append(EventKind.PROOF_FAILED, message, launch=launch.name)
    return message


def merged(proof: ContextProof, before: ContextProof | None) -> ContextProof:
    """A proof that succeeded, with what an earlier one knows: a deeper depth, and a failure that this one did
    not reach."""
    if before is None:
        return proof
    proven = max(proof.proven_tokens or 0, before.proven_tokens or 0) or None
    proof = replace(proof, proven_tokens=proven)
    if before.failed_tokens is None or (proof.proven_tokens or 0) >= before.failed_tokens:
        return proof
    return replace(
        proof,
        failed_tokens=before.failed_tokens,
        failure=before.failure,
        window_tokens=before.window_tokens,
    )
