# SPDX-License-Identifier: Apache-2.0
# time limit: 180 s
#
# A VM in isola's networks: a tap device that is a port of the bridge, with the lease's
# address in the rules, and nothing left of it whoever is killed. That frames get through
# needs a guest with a driver: tests/lab/test_vm_network.py.
import json
import os
import signal
import socket
import sys
import threading
import time
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from vmlib import *
from netlib import *

need_network()
if not os.path.exists("/dev/net/tun"):
    skip_all("needs /dev/net/tun")
d = need_vms()
vms = Vms(d)
leak_mark()


def taps():
    return sorted(n for n in links(d) if n.startswith("tap"))


def queues_of(pid):
    return list(open_files(pid).values()).count("/dev/net/tun")


def link(name):
    return json.loads(d.in_net("ip", "-j", "-d", "link", "show", "dev", name).out)[0]


def endpoint(vm, network="bridge"):
    return vms.inspect(vm)["NetworkSettings"]["Networks"][network]


def published():
    # numbers where there is no /etc/protocols
    return sorted(re.findall(r"(?:tcp|udp|6|17) \. (\d+) : ([0-9.]+)", rules(d)))


def refuses(text, status=400, **more):
    got = vms.ask("POST", "/vms/create", vm_config(**more))
    check(got[0] == status and text in got[2]["message"], "refused: " + text, got)


# ---------------------------------------------------------------- what makes no sense
refuses("NetworkMode (--network): host: a guest has network devices of its own",
        NetworkMode="host")
refuses("network nowhere not found", NetworkMode="nowhere")
refuses("PortBindings (-p): nothing can be published", PortBindings={"80/tcp": [{}]})
refuses("MacAddress (--mac-address)", MacAddress="02:00:00:00:00:01")
refuses("NetworkQueues (--network-queues)", NetworkMode="bridge", NetworkQueues=17)
refuses("Nets[0].Id: eth0", Nets=[{"Id": "eth0", "Tap": "x"}])
is_(taps(), [], "nothing is made by that")

# ------------------------------------------------------------------------- one VM
vm, console = vms.start("one", NetworkMode="bridge", NetworkQueues=2, Cpus={"Count": 2},
                        MacAddress="02:11:22:33:44:55",
                        PortBindings={"80/tcp": [{"HostPort": "8080"}]})
name = "tap" + vm[:8] + "0"
is_(taps(), [name], "a tap device")
port = link(name)
is_(port["master"], "isola0", "it is a port of the bridge")
check("UP" in port["flags"] and port["linkinfo"]["info_data"]["multi_queue"] and
      port["linkinfo"]["info_data"]["vnet_hdr"] and not port["linkinfo"]["info_data"]["persist"],
      "up, multi-queue, with virtio headers, not persistent", port)
# two of the worker's (the second one detached until the guest wants it), one to keep it
is_((port["linkinfo"]["info_data"]["numqueues"], port["linkinfo"]["info_data"]["numdisabled"]),
    (1, 2), "its queues")
end = endpoint(vm)
is_(end["MacAddress"], "02:11:22:33:44:55", "the MAC address asked for")
check(end["IPAddress"].startswith("10.201.0.") and end["IPPrefixLen"] == 16, "an address", end)
is_(published(), [("8080", end["IPAddress"])], "its port is published")
settings = vms.inspect(vm)["NetworkSettings"]
is_(settings["Ports"], {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}, "inspect says so")
row = vms.ask("GET", "/vms/json")[2][0]
is_([(p["PrivatePort"], p["PublicPort"]) for p in row["Ports"]], [(80, 8080)], "and ps")
net = d.request("GET", "/networks/bridge")[2]
is_(net["Containers"][vm]["IPv4Address"], end["IPAddress"] + "/16", "the network knows it")
is_(net["Containers"][vm]["Name"], "one", "by its name")
pid = vms.inspect(vm)["State"]["Pid"]
is_(queues_of(pid), 2, "the worker has the queues' descriptors, and no more")
is_(queues_of(d.pid), 0, "isolad has none any more")

other = vms.create("two", NetworkMode="bridge", PortBindings={"80/tcp": [{"HostPort": "8080"}]})
got = vms.post(other, "start")
check(got[0] >= 400 and "8080" in got[2]["message"], "a port in use is an error", got)
is_(taps(), [name], "nothing is left of that start")
is_(vms.remove(other), 204, "removed")

r = run(BUILD + "/vmctl", "--host", "unix://" + d.socket, "update", "--publish-rm", "8080:80",
        "--publish-add", "8070:70", "one")
is_((r.rc, published()), (0, [("8070", end["IPAddress"])]), "vmctl update moves ports", r)
got = vms.ask("POST", "/vms/%s/update" % vm, {"PublishAdd": {"80/tcp": [{"HostPort": "8080"}]},
                                              "PublishRm": {"70/tcp": []}})
is_((got[0], published()), (200, [("8080", end["IPAddress"])]), "and so does the API")

# --------------------------------------------------------------- networks come and go
is_(d.ctr("network", "create", "--subnet", "10.77.0.0/24", "blue").rc, 0, "a network")
got = vms.ask("POST", "/networks/blue/connect", {"Container": vm})
is_((got[0], len(taps())), (200, 2), "a VM that runs joins it by one more tap", got)
is_([n.get("acpi") for n in json.load(open("%s/run/%s/machine.json" % (d.root, vm)))["nets"]], [None, None, True, True, True],
    "a machine made anew would have it, and as many places", got)
got = vms.ask("POST", "/networks/blue/connect", {"Container": vm})
check(got[0] >= 400 and "blue" in got[2]["message"], "once", got)
for _ in range(2):      # each time the guest knows the device by its address
    mac = vms.inspect(vm)["NetworkSettings"]["Networks"]["blue"]["MacAddress"]
    got = vms.ask("POST", "/networks/blue/disconnect", {"Container": vm})
    is_((got[0], taps()), (200, [name]), "it leaves", got)
    got = vms.ask("POST", "/networks/blue/connect",
                  {"Container": vm, "EndpointConfig": {"IPAMConfig": {"IPv4Address": "9.9.9.9"}}})
    check(got[0] >= 400 and taps() == [name], "not with an address of elsewhere", got)
    got = vms.ask("POST", "/networks/blue/connect", {"Container": vm})
    is_((got[0], vms.inspect(vm)["NetworkSettings"]["Networks"]["blue"]["MacAddress"]), (200, mac),
        "and comes back by the same device", got)
got = vms.ask("POST", "/networks/blue/disconnect", {"Container": vm})
is_((got[0], taps()), (200, [name]), "it leaves", got)
console.type("R")
check(console.wait_for(b"ready\n", 2), "the guest resets itself")
check(wait_for(10, lambda: vms.state(vm)["Resets"] == 1), "isolad knows")
is_(taps(), [name], "the tap is the same device after it")
is_(link(name)["ifindex"], port["ifindex"], "the very same")

# ------------------------------------------------------------------ isolad is killed
before = vms.inspect(vm)["NetworkSettings"]
d.stop(signal.SIGKILL)
is_(taps(), [name], "without isolad it is there")
check(d.start(), "isolad starts again")
check(wait_for(10, lambda: vms.state(vm)["Running"]), "the VM is adopted")
is_(vms.inspect(vm)["NetworkSettings"], before, "its address and ports are the same")
is_(published(), [("8080", end["IPAddress"])], "and its rules")
console.close()
console = vms.attach(vm)
console.type("R")
check(console.wait_for(b"ready\n"), "a reset after that")
is_(taps(), [name], "keeps the tap")

# ------------------------------------------------------ the worker, then the keeper
os.kill(vms.inspect(vm)["State"]["Pid"], signal.SIGKILL)
vms.wait(vm)
check(wait_for(10, lambda: taps() == []), "a killed worker: the tap goes", taps())
check(wait_for(10, lambda: published() == []), "and the rules", published())
is_(vms.post(vm, "start")[0], 204, "it starts again")
is_((taps(), endpoint(vm)["IPAddress"]), ([name], end["IPAddress"]), "with the same lease")
os.kill(vms.inspect(vm)["Isola"]["KeeperPid"], signal.SIGKILL)
check(wait_for(20, lambda: not vms.state(vm)["Running"]), "a killed keeper is noticed")
check(wait_for(10, lambda: taps() == []), "the tap goes with it", taps())
check(wait_for(10, lambda: published() == []), "and the rules")

# both while isolad is not there
is_(vms.post(vm, "start")[0], 204, "it starts again")
keeper = vms.inspect(vm)["Isola"]["KeeperPid"]
d.stop(signal.SIGKILL)
os.kill(keeper, signal.SIGKILL)
check(wait_for(10, lambda: taps() == []), "without anybody the tap goes by itself", taps())
check(d.start(), "isolad starts again")
check(wait_for(10, lambda: not vms.state(vm)["Running"]), "and sees that the VM ended")
check(wait_for(10, lambda: published() == []), "no rule is left")

# --------------------------------------------------------------- several networks
is_(vms.ask("POST", "/networks/blue/connect", {"Container": vm})[0], 200, "joined while stopped")
is_(vms.post(vm, "start")[0], 204, "it starts")
second = "tap" + vm[:8] + "1"
is_(taps(), [name, second], "with two devices")
check(endpoint(vm, "blue")["IPAddress"].startswith("10.77.0."), "an address in each")
is_(vms.ask("POST", "/networks/blue/disconnect", {"Container": vm})[0], 200,
    "it leaves one while it runs")
is_(taps(), [name], "whose tap goes")
console.close()
console = vms.attach(vm)
console.type("R")
check(console.wait_for(b"ready\n"), "a reset goes on without it")
is_(taps(), [name], "and makes no new one")
console.type("P")
is_(vms.wait(vm)["StatusCode"], 0, "it powers off")
check(wait_for(10, lambda: taps() == []), "all are gone")
console.close()

# ---------------------------------------------------------------------- many at once
many = [vms.create("m%d" % i, NetworkMode="blue", OpenStdin=False) for i in range(6)]
for m in many:
    is_(vms.post(m, "start")[0], 204, "one of many starts")
is_(len({endpoint(m, "blue")["IPAddress"] for m in many}), 6, "each has an address of its own")
is_(len(taps()), 6, "and a tap")
for m in many:
    vms.remove(m)
check(wait_for(10, lambda: taps() == []), "all are gone")

# ---------------------------------------------- isolad is killed in the middle of starts
few = [vms.create("k%d" % i, NetworkMode="blue", OpenStdin=False,
                  PortBindings={"80/tcp": [{"HostPort": str(8300 + i)}]}) for i in range(3)]


def start_and_kill(delay_s):
    """All of them are started; isolad is killed while that goes on."""
    threads = [threading.Thread(target=lambda m=m: quiet_start(m), daemon=True) for m in few]
    for t in threads:
        t.start()
    time.sleep(delay_s)
    d.stop(signal.SIGKILL)
    for t in threads:
        t.join()


def quiet_start(m):
    try:
        vms.post(m, "start")
    except OSError:
        pass


def settled():
    """What runs has its tap and its port, and nothing else has."""
    running = [m for m in few if vms.state(m)["Status"] == "running"]
    other = [m for m in few if vms.state(m)["Status"] not in ("running", "exited", "created")]
    return not other and taps() == sorted("tap%s0" % m[:8] for m in running) and \
        [p for p, _ in published()] == sorted(str(8300 + few.index(m)) for m in running)


for i in range(10):
    start_and_kill(0.003 * i * SCALE)
    check(d.start(), "isolad starts again")
    check(wait_for(20, settled), "taps and ports are those of what runs",
          (taps(), published(), [vms.state(m)["Status"] for m in few]))
    for m in few:
        vms.post(m, "kill")
        vms.post(m, "wait")
    check(wait_for(20, lambda: taps() == [] and published() == []), "all are gone", (taps(), published()))
for m in few:
    is_(vms.remove(m), 204, "removed")

# --------------------------------------------------------------------------- vmctl
r = run(BUILD + "/vmctl", "--host", "unix://" + d.socket, "create", "--name", "vee", "--kernel", GUEST,
        "--network", "blue", "--ip", "10.77.0.99", "-p", "127.0.0.1:9000-9001:90-91/udp",
        "--network-queues", "2")
is_(r.rc, 0, "vmctl create --network", r.err)
config = vms.inspect("vee")["Config"]
is_((config["NetworkMode"], config["NetworkQueues"]), ("blue", 2), "its network and queues")
is_(config["PortBindings"], {"90/udp": [{"HostIp": "127.0.0.1", "HostPort": "9000"}],
                             "91/udp": [{"HostIp": "127.0.0.1", "HostPort": "9001"}]}, "its ports")
is_(endpoint("vee", "blue")["IPAMConfig"], {"IPv4Address": "10.77.0.99"}, "its address")
is_(vms.remove("vee"), 204, "removed")

is_(vms.remove(vm), 204, "removed")
is_(d.ctr("network", "rm", "blue").rc, 0, "its network goes, too")
check(wait_for(20, lambda: "isola0" not in links(d)), "the bridge goes")
leak_check()
d.stop()
finish()
