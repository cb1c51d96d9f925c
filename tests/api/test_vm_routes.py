# SPDX-License-Identifier: Apache-2.0
#
# Every route of VMs, with what it is for and what it must refuse; the body of
# create, field by field; and that VMs and containers do not show in each other's
# lists.  A route of /vms without a test here is a failure.
# processors: 2
# time limit: 240 s
import base64
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *

d = need_vms()
vms = Vms(d)
ask = vms.ask
leak_mark()
TESTS = {}


def route(method, path):
    def add(f):
        TESTS[method, path] = f
        return f
    return add


def expect(name, got, status, text=None):
    body = got[2] if isinstance(got[2], str) else json.dumps(got[2]) \
        if not isinstance(got[2], bytes) else got[2].decode(errors="replace")
    return check(got[0] == status and (text is None or text in body), name,
                 "wanted: %s %s\ngot:    %d %s" % (status, text, got[0], body))


def not_found(method, path):
    expect("%s %s of nothing" % (method, path), ask(method, path.replace("{id}", "nothing")), 404,
           "No such VM: nothing")


class Running:
    def __init__(self, **more):
        self.more = more

    def __enter__(self):
        self.vm, self.console = vms.start(**self.more)
        return self.vm, self.console

    def __exit__(self, *_):
        self.console.close()
        vms.remove(self.vm)


# ------------------------------------------------------------ create: the body

GIB = 1 << 30
BAD = [
    ({"Kernel": None}, "Kernel"), ({"Kernel": "vmlinux"}, "absolute"), ({"Kernel": 7}, "Kernel"),
    ({"Initrd": "x"}, "Initrd"), ({"Cmdline": "a\nb"}, "Cmdline"), ({"Cmdline": "x" * 2048}, "Cmdline"),
    ({"Image": "busybox"}, "Image is not a known field"), ({"kernel": "/x"}, "did you mean Kernel"),
    ({"Cpus": 2}, "Cpus"), ({"Cpus": {"Count": 256}}, "Cpus.Count"),
    ({"Cpus": {"Count": -1}}, "Cpus.Count"), ({"Cpus": {"Count": 3, "ThreadsPerCore": 2}}, "Cpus.Count"),
    ({"Cpus": {"Template": "z80"}}, "Cpus.Template"), ({"Cpus": {"Affinity": [[9999]]}}, "Affinity"),
    ({"Cpus": {"Affinity": [[0], [0]]}}, "Affinity"), ({"Cpus": {"Affinity": ["0"]}}, "Affinity"),
    ({"Memory": {"Size": 1000}}, "Memory.Size"), ({"Memory": {"Size": MIB + 1}}, "Memory.Size"),
    ({"Memory": {"Size": 3 * MIB, "HugePages": "2M"}}, "Memory.Size"),
    ({"Memory": {"HugePages": "4K"}}, "Memory.HugePages"),
    ({"Memory": {"Size": 2 * MIB, "HugePages": "2M", "Thp": True}}, "Memory.Thp"),
    ({"Memory": {"Size": 9223372036854775807}}, "Memory.Size"),
    ({"Memory": {"Sizes": 1}}, "Memory.Sizes"),
    ({"Disks": [{}]}, "Disks[0].Path"), ({"Disks": ["/x"]}, "Disks"),
    ({"Disks": [{"Path": "x"}]}, "Disks[0].Path"),
    ({"Disks": [{"Path": "/x", "Format": "qcow2"}]}, "Disks[0].Format"),
    ({"Disks": [{"Path": "/x", "Cache": "fast"}]}, "Disks[0].Cache"),
    ({"Disks": [{"Path": "/x"}, {"Path": "/y", "Id": "vda"}]}, "Disks[1].Id"),
    ({"Disks": [{"Path": "/x", "Serial": "s" * 21}]}, "Disks[0].Serial"),
    ({"Disks": [{"Path": "/x", "Queues": 17}]}, "Disks[0].Queues"),
    ({"Disks": [{"Path": "/x", "Rate": {"Ops": {"Size": 1}}}]}, "Disks[0].Rate.Ops.RefillMs"),
    ({"Disks": [{"Path": "/x", "Rate": {"Iops": {"Size": 1}}}]}, "Disks[0].Rate.Iops"),
    ({"Disks": [{"Path": "/x", "Data": "eA=="}]}, "Disks[0]"),
    ({"Disks": [{"Data": "e"}]}, "base64"), ({"Disks": [{"Data": "e===", }]}, "base64"),
    ({"Disks": [{"Path": "/x"}] * 25}, "Disks"),
    ({"Nets": [{}]}, "Nets[0].Tap"), ({"Nets": [{"Tap": "t/0"}]}, "Nets[0].Tap"),
    ({"Nets": [{"Tap": "t" * 16}]}, "Nets[0].Tap"), ({"Nets": [{"Tap": "t", "Socket": "/s"}]}, "Nets[0]"),
    ({"Nets": [{"Tap": "t", "Mac": "01:00:00:00:00:01"}]}, "Nets[0].Mac"),
    ({"Nets": [{"Tap": "t", "Mac": "02:00:00:00:00"}]}, "Nets[0].Mac"),
    ({"Nets": [{"Tap": "t", "Mtu": 60}]}, "Nets[0].Mtu"),
    ({"Nets": [{"Socket": "/s", "Queues": 2}]}, "Nets[0].Queues"),
    ({"Nets": [{"Passt": True, "Queues": 2}]}, "Nets[0].Queues"),
    ({"Nets": [{"Passt": True, "Tap": "t"}]}, "Nets[0].Passt"),
    ({"Nets": [{"Passt": True, "Socket": "/s"}]}, "Nets[0].Passt"),
    ({"Nets": [{"Passt": False}]}, "Nets[0].Tap"), ({"Nets": [{"Passt": "yes"}]}, "Nets[0].Passt"),
    ({"Pmem": [{"Path": "/p", "ReadOnly": False}]}, "Pmem[0].ReadOnly"),
    ({"Shares": [{"Path": "/tmp"}]}, "Shares[0].Tag"), ({"Shares": [{"Tag": "t"}]}, "Shares[0].Path"),
    ({"Shares": [{"Tag": "t/x", "Path": "/tmp"}]}, "Shares[0].Tag"),
    ({"Pmem": [{}]}, "Pmem[0].Path"), ({"Consoles": [{"Rows": -1}]}, "Consoles[0].Rows"),
    ({"Vsock": {"Cid": 2}}, "Vsock.Cid"), ({"Vsock": {"Path": "s"}}, "Vsock.Path"),
    ({"Vsock": True}, "Vsock"), ({"Balloon": True}, "Balloon"),
    ({"Balloon": {"Size": GIB}}, "Balloon.Size"), ({"Rng": 5}, "Rng"),
    ({"Watchdog": {"Action": "bark"}}, "Watchdog.Action"), ({"VmGenId": "x"}, "VmGenId"),
    ({"Seccomp": "maybe"}, "Seccomp"), ({"StopTimeout": -2}, "StopTimeout"),
    ({"AutoRemove": True, "RestartPolicy": {"Name": "always"}}, "AutoRemove"),
    ({"RestartPolicy": {"Name": "sometimes"}}, "RestartPolicy"),
    ({"LogConfig": {"Type": "syslog"}}, "LogConfig"), ({"Labels": {"a": 1}}, "Labels"),
    ({"Limits": {"Memory": 65536}}, "Limits.Memory"), ({"Limits": {"NanoCpus": -1}}, "Limits.NanoCpus"),
]


@route("POST", "/vms/create")
def _():
    got = ask("POST", "/vms/create?name=/made", vm_config(Labels={"k": "v"}))
    expect("create", got, 201)
    is_(sorted(got[2]), ["Id", "Warnings"], "create's answer")
    expect("a name in use", ask("POST", "/vms/create?name=made", vm_config()), 409, "made")
    expect("a name in use, by a container's route",
           ask("POST", "/containers/create?name=made", {"Image": "none", "Cmd": ["x"]}), 404)
    c = vms.inspect("made")["Config"]
    is_((c["Cpus"]["Count"], c["Balloon"]["Reporting"], c["Seccomp"], c["CmdlineDefaults"],
         c["RestartPolicy"]["Name"], c["LogConfig"]["Type"]),
        (1, True, "off" if SANITIZED else "kill", True, "no", "json-file"), "inspect shows every default")
    vms.remove("made")
    expect("create without a body", ask("POST", "/vms/create"), 400, "body")
    expect("create with a wrong name", ask("POST", "/vms/create?name=%21", vm_config()), 400, "VM name")
    for change, text in BAD:
        got = ask("POST", "/vms/create", vm_config(**change) if "Kernel" not in change or
                  change["Kernel"] is not None else {"Memory": {"Size": MIB}})
        check(400 <= got[0] <= 501 and got[0] != 500 and text in json.dumps(got[2]),
              "create with %s names it" % json.dumps(change)[:60], got)
    is_(ask("GET", "/vms/json?all=1")[2], [], "nothing is left of refused ones")
    vm = vms.create(Disks=[{"Data": base64.b64encode(b"secret" * 100).decode()}])
    c = vms.inspect(vm)["Config"]["Disks"][0]
    is_((c["Id"], c["ReadOnly"], c["DataBytes"], "Data" in c), ("vda", True, 600, False),
        "bytes of a disk are not shown again")
    vms.remove(vm)


@route("GET", "/vms/json")
def _():
    a = vms.create("one", Labels={"k": "v"})
    with Running(name="two") as (b, _):
        is_([c["Id"] for c in ask("GET", "/vms/json")[2]], [b], "list of running ones")
        both = ask("GET", "/vms/json?all=1")[2]
        is_([c["Id"] for c in both], [b, a], "list of all, newest first")
        is_((both[1]["Names"], both[1]["State"], both[1]["Labels"], both[1]["Cpus"], both[1]["Memory"]),
            (["/one"], "created", {"k": "v"}, 1, 16 * MIB), "a row")
        is_([c["Id"] for c in ask("GET", "/vms/json?limit=1")[2]], [b], "list with a limit")
        for name, f, want in (("label", {"label": ["k=v"]}, [a]), ("name", {"name": ["tw"]}, [b]),
                              ("status", {"status": ["created"]}, [a]), ("id", {"id": [a[:20]]}, [a]),
                              ("since", {"since": ["one"]}, [b]), ("before", {"before": ["two"]}, [a])):
            is_([c["Id"] for c in ask("GET", "/vms/json" + q(all=1, filters=f))[2]], want,
                "list filtered: " + name)
        is_(ask("GET", "/containers/json?all=1")[2], [], "containers' list has no VMs")
        for verb in ("json", "top", "stats?stream=0", "logs?stdout=1"):
            expect("containers' routes know none: " + verb, ask("GET", "/containers/two/" + verb), 404)
        for verb in ("start", "stop", "kill", "pause", "update", "rename?name=x"):
            expect("containers' routes know none: " + verb,
                   ask("POST", "/containers/two/" + verb, {} if verb == "update" else None), 404)
        expect("nor may they delete one", ask("DELETE", "/containers/two?force=1"), 404)
        is_(ask("POST", "/containers/prune")[2]["ContainersDeleted"], [], "or prune one")
        is_(ask("GET", "/info")[2]["Containers"], 0, "/info counts containers")
    vms.remove(a)
    for f in ("x", "ancestor", "network"):
        expect("list with filter " + f, ask("GET", "/vms/json" + q(filters={f: ["y"]})), 400, f)


@route("GET", "/vms/{id}/json")
def _():
    not_found("GET", "/vms/{id}/json")
    with Running(name="seen", Cmdline="quiet root=/dev/vda", Vsock={}, Consoles=[{}]) as (vm, console):
        o = vms.inspect("seen")
        is_((o["Id"], o["Name"], o["Isola"]["Kind"]), (vm, "/seen", "vm"), "inspect")
        is_(vms.inspect(vm[:12])["Id"], vm, "by a prefix of the id")
        like(o["Cmdline"], "^console=ttyS0 .*quiet root=/dev/vda$", "the whole command line")
        is_(o["Vsock"]["Cid"], 3, "its vsock")
        check(os.path.exists(o["Vsock"]["Path"]), "is there", o["Vsock"])
        check(os.path.exists(o["Consoles"][0]["Path"]), "its console's terminal is there",
              o["Consoles"])
        console.type("C")
        console.wait_for(b"\n", 2)
        check(o["Cmdline"].encode() in console.text, "the guest has that command line", console.text)
    with Running(Cmdline="bare", CmdlineDefaults=False) as (vm, console):
        console.type("C")
        console.wait_for(b"\n", 2)
        check(b"\nbare\n" in console.text, "without the defaults, only its own", console.text)


@route("POST", "/vms/{id}/start")
def _():
    not_found("POST", "/vms/{id}/start")
    for name, more, text in (("no kernel there", {"Kernel": "/nonexistent"}, "/nonexistent"),
                             ("a kernel that is none", {"Kernel": "/etc/passwd"}, ""),
                             ("no disk there", {"Disks": [{"Path": "/nonexistent"}]},
                              "disks[0] (vda): cannot open /nonexistent"),
                             ("a disk that is a folder", {"Disks": [{"Path": "/tmp"}]}, "disks[0]"),
                             ("no tap there", {"Nets": [{"Tap": "notap0"}]}, "notap0"),
                             ("no passt there", {"Nets": [{"Socket": "/nonexistent/s"}]}, "nets[0]"),
                             ("a bad template", {"Cpus": {"Template": {"nonsense": 1}}}, "nonsense")):
        vm = vms.create(**more)
        got = vms.post(vm, "start")
        check(got[0] in (400, 500) and "cannot start the VM" in got[2]["message"] and
              text in got[2]["message"], "start with %s says so" % name, got)
        s = vms.state(vm)
        is_((s["Status"], s["Running"]), ("created", False), "and leaves it created")
        vms.remove(vm)


@route("POST", "/vms/{id}/stop")
def _():
    not_found("POST", "/vms/{id}/stop")
    expect("stop with a wrong time", ask("POST", "/vms/x/stop?t=soon"), 404)
    with Running() as (vm, _):
        expect("stop with a wrong time", vms.post(vm, "stop", t="soon"), 400, "t")
        is_(vms.post(vm, "stop")[0], 204, "stop")


@route("POST", "/vms/{id}/restart")
def _():
    not_found("POST", "/vms/{id}/restart")
    with Running() as (vm, _):
        pid = vms.state(vm)["Pid"]
        is_(vms.post(vm, "restart")[0], 204, "restart")
        s = vms.state(vm)
        check(s["Status"] == "running" and s["Pid"] != pid, "it runs anew", s)


@route("POST", "/vms/{id}/kill")
def _():
    not_found("POST", "/vms/{id}/kill")
    vm = vms.create()
    expect("kill of one that does not run", vms.post(vm, "kill"), 409, "is not running")
    vms.remove(vm)


@route("POST", "/vms/{id}/reset")
def _():
    not_found("POST", "/vms/{id}/reset")
    vm = vms.create()
    for verb in ("reset", "powerdown", "nmi", "pause", "resume"):
        expect(verb + " of one that does not run", vms.post(vm, verb), 409, "VM ")
    vms.remove(vm)


@route("POST", "/vms/{id}/pause")
def _():
    not_found("POST", "/vms/{id}/pause")


@route("POST", "/vms/{id}/resume")
def _():
    not_found("POST", "/vms/{id}/resume")


@route("POST", "/vms/{id}/powerdown")
def _():
    not_found("POST", "/vms/{id}/powerdown")
    with Running() as (vm, _):
        is_(vms.post(vm, "powerdown")[0], 204, "powerdown")
        is_(vms.wait(vm)["Reason"], "poweroff", "the guest minds it")


@route("POST", "/vms/{id}/nmi")
def _():
    not_found("POST", "/vms/{id}/nmi")


@route("POST", "/vms/{id}/wait")
def _():
    not_found("POST", "/vms/{id}/wait")
    vm = vms.create()
    expect("wait with a wrong condition", vms.post(vm, "wait", condition="x"), 400, "condition")
    vms.remove(vm)


@route("POST", "/vms/{id}/resize")
def _():
    not_found("POST", "/vms/{id}/resize")
    with Running(Consoles=[{"Rows": 24, "Columns": 80}]) as (vm, _):
        is_(vms.post(vm, "resize", h=30, w=100, console="console0")[0], 200, "a console is resized")
        expect("one that is not there", vms.post(vm, "resize", h=1, w=1, console="x"), 404, "console x")
        expect("a serial port without a terminal", vms.post(vm, "resize", h=1, w=1), 500)
        expect("with a wrong size", vms.post(vm, "resize", h="x"), 400, "h")


@route("POST", "/vms/{id}/attach")
def _():
    not_found("POST", "/vms/{id}/attach")
    vm = vms.create(Tty=True)
    console = vms.attach(vm, mux=False)
    console.mux = False
    check(b"raw-stream" in console.head, "a terminal's stream is raw", console.head)
    vms.post(vm, "start")
    check(console.wait_for(b"ready\n"), "a terminal is attached to", console.text)
    is_(vms.post(vm, "resize", h=30, w=100)[0], 200, "its terminal is resized")
    console.type("a\nb")
    check(console.wait_for(b"a\nb"), "it is raw: the guest's own code echoes", console.text)
    console.type(b"\x10\x11")
    check(console.wait_end(), "ctrl-p ctrl-q leaves")
    is_(vms.state(vm)["Status"], "running", "and the VM goes on")
    vms.remove(vm)


@route("GET", "/vms/{id}/explain")
def _():
    with Running() as (vm, _):
        o = ask("GET", "/vms/%s/explain" % vm)[2]
        is_((o["Kind"], o["Wall"], o["Kernel"]["Own"]), ("vm", "vm", True), "explain of a VM")
        p = o["Boundaries"][0]
        is_((p["Role"], p["Command"], p["NoNewPrivileges"], p["Capabilities"]["Effective"]),
            ("worker", "isola-vmm", True, []), "its worker, without any right", p)
        of = {n["Type"]: n["Of"] for n in p["Namespaces"]}
        is_((of["mnt"], of["net"]), ("own", "own"), "which is alone", of)
        # On some hosts KVM has a thread of its own in the worker's cgroup
        # (kvm-nx-lpage-recovery).
        is_([x["Role"] for x in o["Processes"] if not x["Command"].startswith("kvm-")],
            ["keeper", "worker"], "and its keeper", o)
    expect("explain of none", ask("GET", "/vms/none/explain"), 404, "none")


@route("GET", "/vms/{id}/logs")
def _():
    not_found("GET", "/vms/{id}/logs")
    with Running() as (vm, console):
        console.type("hello")
        console.wait_for(b"hello")
        expect("logs of no stream", ask("GET", "/vms/%s/logs" % vm), 400, "stream")
        console.type("P")
        vms.wait(vm)
        got = vms.log(vm, tail="all")
        check(b"ready\n" in got and b"hello" in got, "logs", got)
    vm = vms.create(LogConfig={"Type": "none"})
    expect("logs with driver none", ask("GET", "/vms/%s/logs?stdout=1" % vm), 501, "none")
    vms.remove(vm)


@route("GET", "/vms/{id}/stats")
def _():
    not_found("GET", "/vms/{id}/stats")
    with Running() as (vm, console):
        s = ask("GET", "/vms/%s/stats?stream=0&one-shot=1" % vm)[2]
        check(s["vm"]["vcpus"][0]["exits"] > 0, "stats have the worker's counters", s.get("vm"))
        is_(s["vm"]["memory"]["size"], 16 * MIB, "and the memory's size")
        check("cpu_stats" in s and "memory_stats" in s, "and the cgroup's", sorted(s))
        two = ask("GET", "/vms/%s/stats?stream=0" % vm)[2]
        check(two["vm"]["vcpus"][0]["exits"] > s["vm"]["vcpus"][0]["exits"], "they count on")
        text = ask("GET", "/metrics")[2].decode()
        like(text, r'(?m)^vm_cpu_usage_seconds_total\{cpu="total",id="/isola/%s",name="' % vm,
             "metrics have VMs, by names of their own")
        check('container_cpu_usage_seconds_total' not in text, "and not as containers")
        like(text, r'(?m)^isola_vms\{state="running"\} 1$', "and count them")
    vm = vms.create()
    is_(ask("GET", "/vms/%s/stats?stream=0" % vm)[2].get("vm"), None, "a stopped one has none")
    vms.remove(vm)


@route("POST", "/vms/{id}/update")
def _():
    not_found("POST", "/vms/{id}/update")
    disk = T + "/disk.img"
    with open(disk, "wb") as f:
        f.truncate(MIB)

    def update(vm, body):
        return ask("POST", "/vms/%s/update" % vm, body)

    def pinned(pid):
        """What its threads may run on, those that may run anywhere left out."""
        found = set()
        for t in os.listdir("/proc/%d/task" % pid):
            try:
                with open("/proc/%d/task/%s/status" % (pid, t)) as f:
                    found.add(f.read().split("Cpus_allowed_list:")[1].split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass         # a thread that has just ended
        return sorted(c for c in found if c.isdigit())

    with Running(Disks=[{"Path": disk}], Memory={"Size": 64 * MIB}) as (vm, _):
        for body, text in (({"Balloon": {"Size": GIB}}, "Balloon.Size"), ({"Kernel": "/x"}, "Kernel"),
                           ({"Disks": [{"Rate": {}}]}, "Disks[0].Id"),
                           ({"Disks": [{"Id": "vdz"}]}, "Disks[0].Id"),
                           ({"Disks": [{"Id": "vda", "Size": 1000}]}, "Disks[0].Size"),
                           ({"Nets": [{"Id": "net0"}]}, "Nets[0].Id"),
                           ({"Cpus": {"Affinity": [[0], [0]]}}, "Affinity"),
                           ({"RestartPolicy": {"Name": "x"}}, "RestartPolicy"),
                           ({"Limits": {"NanoCpus": -5}}, "Limits.NanoCpus")):
            expect("update with %s" % json.dumps(body), update(vm, body), 400, text)
        rate = {"Ops": {"Size": 100, "RefillMs": 1000}}
        is_(update(vm, {"Balloon": {"Size": 16 * MIB}, "Cpus": {"Affinity": [[0]]},
                        "Disks": [{"Id": "vda", "Rate": rate, "Size": 2 * MIB}],
                        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2},
                        "StopTimeout": 3})[0], 200, "update of everything at once")
        c = vms.inspect(vm)["Config"]
        is_((c["Balloon"]["Size"], c["Cpus"]["Affinity"], c["Disks"][0]["Rate"]["Ops"]["Size"],
             c["RestartPolicy"]["Name"], c["StopTimeout"]), (16 * MIB, [[0]], 100, "on-failure", 3),
            "inspect shows it")
        is_(os.path.getsize(disk), 2 * MIB, "the disk has grown")
        expect("it does not shrink", update(vm, {"Disks": [{"Id": "vda", "Size": MIB}]}), 400, "grow")
        before, pid = vms.inspect(vm)["Config"], vms.state(vm)["Pid"]
        allowed = pinned(pid)
        check("0" in allowed and "1" not in allowed, "the vCPU is pinned", allowed)
        expect("one part of several fails", update(vm, {
            "Balloon": {"Size": 8 * MIB}, "Cpus": {"Affinity": [[1]]},
            "Disks": [{"Id": "vda", "Size": MIB}]}), 400, "vda")
        is_(vms.inspect(vm)["Config"], before, "nothing of it is in the record")
        is_(pinned(pid), allowed, "and what was done before it is undone")
        is_(update(vm, {"Disks": [{"Id": "vda", "Rate": {}}]})[0], 200, "a rate is taken away")
        is_("Rate" in vms.inspect(vm)["Config"]["Disks"][0], False, "and is gone")
        is_(update(vm, {"Cpus": {"Affinity": []}})[0], 200, "pinning is taken away")
        status = open("/proc/%d/status" % vms.state(vm)["Pid"]).read()
        check("Cpus_allowed_list" in status, "a worker's processors", status)
        vms.post(vm, "kill")
        expect("a stopped VM's disk", update(vm, {"Disks": [{"Id": "vda", "Resize": True}]}), 409,
               "not running")
        is_(update(vm, {"Balloon": {"Size": 0}})[0], 200, "other things count from the next start")
    with Running(Balloon=False, Rng=False) as (vm, _):
        expect("no balloon there", update(vm, {"Balloon": {"Size": MIB}}), 400, "no balloon")


@route("POST", "/vms/{id}/rename")
def _():
    not_found("POST", "/vms/{id}/rename")
    a, b = vms.create("first"), vms.create("second")
    expect("rename without a name", vms.post(a, "rename"), 400, "empty")
    expect("rename to a taken one", vms.post(a, "rename", name="second"), 409, "second")
    is_(vms.post(a, "rename", name="third")[0], 204, "rename")
    is_(vms.inspect("third")["Id"], a, "by its new name")
    vms.remove(a)
    vms.remove(b)


@route("POST", "/vms/prune")
def _():
    a, b = vms.create(Labels={"keep": "1"}), vms.create()
    got = ask("POST", "/vms/prune" + q(filters={"label!": ["keep"]}))
    is_(got[2]["VmsDeleted"], [b], "prune with a filter")
    expect("prune with a wrong one", ask("POST", "/vms/prune" + q(filters={"x": ["y"]})), 400, "x")
    vms.remove(a)


@route("DELETE", "/vms/{id}")
def _():
    not_found("DELETE", "/vms/{id}")
    with Running() as (vm, _):
        expect("remove a running one", ask("DELETE", "/vms/" + vm), 409, "is running")
        is_(ask("DELETE", "/vms/%s?force=1" % vm)[0], 204, "remove by force")


def events():
    since = time.time()
    vm, console = vms.start("ev", Labels={"l": "1"})
    console.type("R")
    console.wait_for(b"ready\n", 2)
    vms.post(vm, "pause")
    vms.post(vm, "resume")
    console.type("Q3")
    vms.wait(vm)
    vms.remove(vm)
    got = ask("GET", "/events" + q(since=since, until=time.time(), filters={"type": ["vm"]}))[2]
    rows = [json.loads(x) for x in got.splitlines()] if isinstance(got, bytes) else [got]
    is_([e["Action"] for e in rows], ["create", "attach", "start", "reset", "pause", "resume", "die",
                                      "destroy"], "events of a VM")
    a = {e["Action"]: e["Actor"]["Attributes"] for e in rows}
    is_((a["die"]["exitCode"], a["die"]["reason"], a["die"]["name"], a["die"]["l"]),
        ("3", "debug-exit", "ev", "1"), "the end has code, reason, name and labels")
    is_(a["reset"]["by"], "guest", "the reset says by whom")
    got = ask("GET", "/events" + q(since=since, until=time.time(), filters={"vm": ["ev"],
                                                                            "event": ["die"]}))[2]
    check(b"debug-exit" in (got if isinstance(got, bytes) else json.dumps(got).encode()),
          "they are filtered by VM", got)


ROWS = [(m.upper(), p) for p, item in ask("GET", "/openapi.json")[2]["paths"].items()
        for m in item if p.startswith("/vms/")]
is_([r for r in ROWS if r not in TESTS], [], "each route has a test")
is_([r for r in TESTS if r not in ROWS], [], "each test has a route")
for row, test in [*TESTS.items(), (("events", "of VMs"), events)]:
    try:
        test()
    except Exception as e:
        not_ok("%s %s" % row, "%s: %s" % (type(e).__name__, e))
        if not d.ping():
            diag("isolad is gone:\n" + d.log_tail())
            break
leak_check()
finish()
