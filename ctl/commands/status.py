"""``node-ctl status``."""

from ctl.autostart import as_row, connect, told_others
from ctl.client import peer_of
from ctl.options import Json
from ctl.show.formatting import wrap
from ctl.terminal import columns, print_json
from domain.units import duration

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl status
  node-ctl status --json
"""


def command(*, as_json: Json = False) -> None:
    """Version, uptime, paths, launches by state, and known problems. Where another daemon runs, too, a line
    on standard error says whose this is.
    """
    daemon = connect()
    data = daemon.get("/v1/status")
    peer = peer_of(daemon.socket)
    others = told_others(peer, "status")
    if as_json:
        print_json({**data, "user": peer and peer.user, "other_daemons": [as_row(other) for other in others]})
        return
    counts = ", ".join(f"{count} {state}" for state, count in data["launches"].items() if count)
    print(f"node-daemon {data['version']}, pid {data['pid']}, up {duration(data['uptime_s'])}")
    print(f"user      {'?' if peer is None else peer.user}")
    print(f"launches  {counts or 'none'}")
    print(f"state     {data['state_dir']}")
    print(f"models    {data['models_dir']}")
    print(f"socket    {data['socket']}")
    if data.get("gateway"):
        print(f"clients   {data['gateway']}/v1 (OpenAI), {data['gateway']} (Anthropic, Ollama)")
    problems = [f"problem   {_problem_text(problem)}" for problem in data["problems"]]
    for line in wrap(problems, columns(), indent=10):
        print(line)


def _problem_text(problem: object) -> str:
    if not isinstance(problem, dict):
        return str(problem)
    hint = f" (hint: {problem['hint']})" if problem.get("hint") else ""
    return f"{problem['source']}: {problem['what']}{hint}"
