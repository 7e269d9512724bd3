"""``node-ctl status``."""

from ctl.autostart import daemon
from ctl.options import Json
from ctl.terminal import print_json
from domain.units import duration

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl status
  node-ctl status --json
"""


def command(*, as_json: Json = False) -> None:
    """Version, uptime, where things lie, how many launches are in which state, and known problems."""
    data = daemon().get("/v1/status")
    if as_json:
        print_json(data)
        return
    counts = ", ".join(f"{count} {state}" for state, count in data["launches"].items() if count)
    print(f"node-daemon {data['version']}, pid {data['pid']}, up {duration(data['uptime_s'])}")
    print(f"launches  {counts or 'none'}")
    print(f"state     {data['state_dir']}")
    print(f"models    {data['models_dir']}")
    print(f"socket    {data['socket']}")
    for problem in data["problems"]:
        print(f"problem   {_words(problem)}")


def _words(problem: object) -> str:
    if not isinstance(problem, dict):
        return str(problem)
    hint = f" (hint: {problem['hint']})" if problem.get("hint") else ""
    return f"{problem['source']}: {problem['what']}{hint}"
