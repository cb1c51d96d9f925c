# SPDX-License-Identifier: Apache-2.0
# time limit: 240 s
#
# Two hundred containers, started 32 at a time, on one bridge: each with an address of its
# own, all reached, counted, and all gone after.
import os
import sys
from concurrent.futures import ThreadPoolExecutor
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image")
need_network()
N = 200 if SCALE == 1 else 48       # sanitizers: memory and time
d = start_isolad("--default-network", "bridge")
if not d:
    not_ok("isolad starts")
    finish()
leak_mark()
busybox_tar(T + "/root.tar")
d.ctr("import", T + "/root.tar", "busybox")
is_(d.ctr("network", "create", "--ipv6", "six").rc, 0, "a network")
SERVE = "exec nc -ll -p 80 -e echo hello-$0"


def start(i):
    return d.ctr("run", "-d", "--name", "c%d" % i, "--network", "six", "busybox", "sh", "-c", SERVE,
                 "c%d" % i, limit_s=120)


begun = time.monotonic()
with ThreadPoolExecutor(32) as pool:
    ran = list(pool.map(start, range(N)))
is_([r.err for r in ran if r.rc], [], "%d start, 32 at a time" % N)
print("# %d starts in %.1f s" % (N, time.monotonic() - begun), flush=True)
members = {m["Name"]: m for m in d.request("GET", "/networks/six")[2]["Containers"].values()}
is_(len(members), N, "the network has them all")
for key in ("IPv4Address", "IPv6Address", "MacAddress"):
    is_(len({m[key] for m in members.values()} - {""}), N, "each has its own " + key)


def reach_all():
    """One child for all; the names of those that do not answer."""
    wrong = []
    for key in ("IPv4Address", "IPv6Address"):
        for name, m in members.items():
            def answers():
                try:
                    return tcp_read(m[key].split("/")[0], 80) == "hello-%s\n" % name
                except OSError:
                    return False
            if not wait_for(15, answers):
                wrong.append(name + " " + key)
    return " ".join(wrong) or "-"


is_(in_namespace(d.netns.pid, reach_all), "-", "all are reached, by both addresses")

# what went over one's link
s = d.request("GET", "/containers/c0/stats?stream=0&one-shot=1")[2]["networks"]["eth0"]
check(s["rx_packets"] >= 4 and s["tx_packets"] >= 4 and s["rx_bytes"] > 200, "stats count it", s)
KEYS = ["%s_%s" % (a, b) for a in ("rx", "tx") for b in ("bytes", "packets", "errors", "dropped")]
is_(sorted(s), sorted(KEYS + ["network"]), "under Docker's names, and with the network's", s)


def sums():
    """Of all members' links."""
    all_stats = [d.request("GET", "/containers/%s/stats?stream=0&one-shot=1" % n)[2]["networks"]["eth0"]
                 for n in members]
    return {k: sum(s[k] for s in all_stats) for k in KEYS}


before = sums()
counted = d.request("GET", "/networks/" + s["network"])[2]["Counters"]
after = sums()
check(sorted(counted) == sorted(KEYS) and all(before[k] <= counted[k] <= after[k] for k in KEYS),
      "the network's counters are the sum", (before, counted, after))
check("Counters" not in d.request("GET", "/networks")[2][0], "which a list does without")
text = d.request("GET", "/metrics")[2]
text = text.decode() if isinstance(text, bytes) else str(text)
found = re.findall(r'container_network_receive_packets_total{interface="eth0",id="[^"]*",image="[^"]*",'
                   r'name="c0"} (\d+)', text)
check(found and int(found[0]) >= 4, "and metrics, under cAdvisor's", text[:300])
r = d.ctr("stats", "--no-stream", "--format", "{{.NetIO}}", "c0")
like(r.out, r"^[\d.]+k?B / [\d.]+k?B", "ctrctl stats shows it")

begun = time.monotonic()
with ThreadPoolExecutor(8) as pool:
    ran = list(pool.map(lambda i: d.ctr("rm", "-f", "c%d" % i, limit_s=120), range(N)))
is_([r.err for r in ran if r.rc], [], "all are removed")
print("# %d removed in %.1f s" % (N, time.monotonic() - begun), flush=True)
check(wait_for(30, lambda: not links(d)), "no link is left", links(d)[:5])
check(wait_for(15, lambda: not rules(d)), "nor a rule", rules(d)[:300])
is_(d.ctr("network", "rm", "six").rc, 0, "the network can be removed")
leak_check()
stop_isolad()
finish()
