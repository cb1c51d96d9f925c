# SPDX-License-Identifier: Apache-2.0
# Tests the test runner on a small tree of stand-ins that pass, fail, skip,
# crash, hang and leave things behind: each must be counted as what it is.
import os
import re
import signal
import subprocess
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *

TREE, OUT = T + "/tree", T + "/b"


def script(name, text, folder=TREE + "/tests/priv"):
    os.makedirs(folder, exist_ok=True)
    path = "%s/%s" % (folder, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o755)


def program(name, text):
    script(name, "#!/bin/bash\n" + text, OUT + "/tests/unit/util")


def runner(*argv):
    env = {k: v for k, v in os.environ.items() if k != "ISOLA_IN_LAB"}
    r = run("/usr/bin/python3", "-B", SRC + "/tests/run", "--src", TREE,
            "--build", "x=" + OUT, *argv, env=env, limit_s=60)
    r.last = r.out.splitlines()[-1] if r.out else ""
    return r


def expect(what, last, *patterns):
    """Runs the one test there is and removes it."""
    r = runner("--timeout", "2", "priv", "unit")
    good = r.last == last and all(re.search(p, r.out, re.M) for p in patterns)
    good = good and r.rc == (0 if " 0 failed" in last and not last.startswith("0") else 1)
    check(good, what, "wanted %s, %r\n%r" % (last, patterns, r))
    run("rm", "-rf", TREE + "/tests/priv", OUT + "/tests")


os.makedirs(TREE)
expect("an empty tree is no success", "0 passed, 0 failed, 2 skipped", "^# nothing ran")

script("test_a.sh", "echo 1..2; echo 'ok 1 - one'; echo 'ok 2 - two'; echo noise >&2")
expect("passing cases are counted", "2 passed, 0 failed, 1 skipped",
       r"^ok \d+ - priv/x test_a.sh: two$")

script("test_a.sh", "echo 'ok 1 - one'; echo 'not ok 2 - two'; echo '# why'; echo loud >&2")
expect("a failing case shows all output", "1 passed, 1 failed, 1 skipped",
       r"^not ok \d+ - priv/x test_a.sh: two$", "^# [|] # why$", "^# [|] loud$")

script("test_a.sh", "echo 'ok 1 - one'; echo 'ok 2 - two # SKIP no root here'")
expect("a skipped case says why", "1 passed, 0 failed, 2 skipped",
       r"^ok \d+ - priv/x test_a.sh: two # SKIP no root here$")

script("test_a.sh", "echo needs a moon; exit 77")
script("test_b.sh", "echo 'ok 1 - one'")
expect("exit status 77 skips all", "1 passed, 0 failed, 2 skipped",
       r"^ok \d+ - priv/x test_a.sh # SKIP needs a moon$")

script("test_a.sh", "echo 1..3; echo 'ok 1 - one'")
expect("a broken plan fails", "1 passed, 1 failed, 1 skipped", "planned 3 results, printed 1")

script("test_a.sh", "echo 'ok 1 - one'; exit 3")
expect("an exit status fails", "1 passed, 1 failed, 1 skipped", "exit status 3$")

script("test_a.sh", "exit 0")
expect("silence fails", "0 passed, 1 failed, 1 skipped", "printed no result")

script("test_a.py", "print('ok 1 - one', flush=True); import os; os.abort()")
expect("a crash fails", "1 passed, 1 failed, 1 skipped", "ended by SIGABRT after 1 results")

script("test_a.sh", "trap '' TERM; echo 'ok 1 - one'; sleep 300 & while :; do sleep 1; done")
expect("a hang is cut off", "1 passed, 1 failed, 1 skipped", "timed out after 2 s")

script("test_a.sh", "# time limit: 1 s\necho 'ok 1 - one'; sleep 300")
expect("a test may set its limit", "1 passed, 1 failed, 1 skipped", "timed out after 1 s")

mark = "%d.25" % (100000 + os.getpid())
script("test_a.sh", "echo 'ok 1 - one'; setsid -f sleep %s >/dev/null 2>&1" % mark)
expect("a process left behind fails", "1 passed, 1 failed, 1 skipped",
       r"left processes running$", r"^# [|] \d+ sleep %s$" % mark)
is_(run("pgrep", "-fx", "sleep " + mark).out, "", "and it is gone")

script("test_a.sh", "[ -d $ISOLA_TMP ] && echo 'ok 1 - one'; echo ERROR > $ISOLA_TMP/san.42")
expect("a sanitizer report fails", "1 passed, 1 failed, 1 skipped", "^# [|] ERROR$")
script("test_a.sh", "echo '==1==Unable to get registers from thread 2.' > $ISOLA_TMP/san.1\n"
       "echo 'ok 1 - one'")
expect("a thread that ends during the leak search is no report",
       "1 passed, 0 failed, 1 skipped")
script("test_a.sh", "for i in 1 2 3; do ln -s . $ISOLA_TMP/$i; ln -s / $ISOLA_TMP/root$i; done\n"
       "mkdir $ISOLA_TMP/d; echo ERROR > $ISOLA_TMP/d/san.42; echo 'ok 1 - one'")
expect("the search for reports follows no link", "1 passed, 1 failed, 1 skipped",
       "^# [|] ERROR$")

if os.geteuid() == 0:
    script("test_a.sh", "mkdir $ISOLA_TMP/m; mount -t tmpfs x $ISOLA_TMP/m && echo 'ok 1 - one'\n"
           "echo $ISOLA_TMP >" + T + "/where")
    expect("a mount stays in the test's namespace", "1 passed, 0 failed, 1 skipped")
    is_(os.path.exists(open(T + "/where").read().strip()), False, "and its folder is gone")
else:
    skip("mounts left behind", "needs root")
if os.geteuid() == 0 and os.path.isdir(cgroup2_root()):
    script("test_a.sh", "g=$(sed -nE 's/^([^ ]+ ){4}([^ ]+) .* - cgroup2 .*/\\2/p' "
           "/proc/self/mountinfo | head -n 1)/$ISOLA_CGROUP\n"
           "mkdir -p $g/a && echo 'ok 1 - one'; echo $g >" + T + "/where")
    expect("a cgroup left behind fails", "1 passed, 1 failed, 1 skipped", "left cgroups")
    is_(os.path.exists(open(T + "/where").read().strip()), False, "and it is gone, too")
else:
    skip("cgroups left behind", "needs root and cgroup2")

# what CMocka 1.1 prints
program("test_c", """cat <<'X'
1..3
ok 1 - a
# 0x1 != 0x2
not ok 2 - b
no root here
not ok 3 # SKIP c
X
exit 1""")
expect("CMocka's results are read", "1 passed, 1 failed, 2 skipped",
       r"^not ok \d+ - unit/x util/test_c: b$",
       r"^ok \d+ - unit/x util/test_c: c # SKIP no root here$")

script("test_a.sh", ". %s/tests/lib.sh\nis a a same; like abc '^a.c$' like\n"
       "run sh -c 'echo x; exit 4'; is \"$rc $out\" '4 x' run\nskip s 'no s'; finish" % SRC)
expect("lib.sh passes and skips", "3 passed, 0 failed, 2 skipped", "# SKIP no s$")
script("test_a.sh", ". %s/tests/lib.sh\nis a b same; run_bounded 1 sleep 9; is $? 124 bound\n"
       "exit" % SRC)
expect("lib.sh notices an early end", "1 passed, 2 failed, 1 skipped",
       "not ok .* the script ran to its end", "^# [|] # wanted: 'b'")
script("test_a.py", "import sys; sys.path.insert(0, '%s/tests')\nfrom lib import *\n"
       "is_(1, 1, 'one'); raise ValueError('oops')" % SRC)
expect("lib.py notices an early end", "1 passed, 1 failed, 1 skipped", "ValueError: oops")
script("test_a.py", "import sys; sys.path.insert(0, '%s/tests')\nfrom lib import *\n"
       "skip_all('no moon')" % SRC)
expect("lib.py skips all", "0 passed, 0 failed, 2 skipped", "# SKIP no moon")

script("test_a.sh", "# not in the lab: too slow\necho 'ok 1 - one'")
expect("what the lab leaves out runs elsewhere", "1 passed, 0 failed, 1 skipped")
script("test_a.sh", "# not in the lab: too slow\necho 'ok 1 - one'")
r = run("env", "ISOLA_IN_LAB=1", "/usr/bin/python3", "-B", SRC + "/tests/run", "--src", TREE,
        "--build", "x=" + OUT, "priv", limit_s=60)
like(r.out, "priv/x test_a.sh # SKIP too slow\n", "and is a skip there")

# an emulated host may lose a guest: what failed once is run again, twice in a run
def nested(in_lab="1"):
    return run("env", "ISOLA_IN_LAB=" + in_lab, "/usr/bin/python3", "-B", SRC + "/tests/run",
               "--src", TREE, "--build", "x=" + OUT, "priv", limit_s=60)


once = """# nested: the host is emulated
n=%s/n.$1; echo x >>$n
[ "$(wc -l <$n)" -ge %d ] && echo "ok 1 - now" || { echo "not ok 1 - now"; echo "# a reason"; }
"""
script("test_a.sh", once % (T, 2))
r = nested("0")
like(r.out, "(?m)^0 passed, 1 failed, 0 skipped", "elsewhere a failure is one")
os.unlink(T + "/n.")
r = nested()
like(r.out, "(?m)^1 passed, 0 failed, 1 skipped", "what fails once on an emulated host is run again")
like(r.out, r"(?s)# [|] not ok 1 - priv/x test_a.sh: now.*# [|] # [|] # a reason.*"
     "SKIP failed once, and is run again: the host is emulated", "and both are shown")
os.unlink(T + "/n.")
script("test_a.sh", once % (T, 3))
r = nested()
like(r.out, "(?m)^0 passed, 1 failed, 1 skipped", "what fails twice has failed")
for n in "abcd":
    script("test_%s.sh" % n, (once % (T, 2)).replace("n.$1", "n." + n))
r = nested()
like(r.out, "(?m)^2 passed, 2 failed, 2 skipped", "and the third of a run, too")
run("rm", "-rf", TREE + "/tests/priv")
script("test_a.sh", "# not in the lab: too slow\necho 'ok 1 - one'")

# a lab of two processors is for what needs them
script("test_b.sh", "# processors: 2\necho 'ok 1 - two'")
for argv, counts in (([], "2 passed"), (["--processors", "1"], "1 passed"),
                     (["--processors", "2"], "1 passed"), (["--processors", "3"], "0 passed")):
    r = run("/usr/bin/python3", "-B", SRC + "/tests/run", "--src", TREE, "--build", "x=" + OUT,
            *argv, "priv", limit_s=60)
    like(r.out, "(?m)^" + counts, "of two programs, %s: %s" % (argv, counts))
check("test_b.sh" not in r.out, "and none is begun in vain", r)
os.unlink(TREE + "/tests/priv/test_b.sh")

# two labs at a time. One that crashes is no verdict, but only twice; what it came to does
# not run again
os.makedirs(TREE + "/tests/lab")
for crashes, counts, text in (
        (1, "10 passed, 0 failed, 1 skipped", "# SKIP the lab's own kernel crashed"),
        (2, "11 passed, 0 failed, 2 skipped", "# SKIP the lab's own kernel crashed"),
        (3, "10 passed, 1 failed, 2 skipped", "^not ok .* lab: exit status 123$")):
    with open(TREE + "/tests/lab/lab", "w") as f:
        f.write("""#!/bin/sh
cd %s
echo "$*" >>said
for part; do :; done
case "$*" in
*" --cpus 1 "*" --processors 1 "*) ;;
*" --cpus 2 "*" --share "?"/2 --processors 2 priv api lab") echo "ok 1 - two"; exit ;;
*) exit 1 ;;
esac
if [ "$part" = priv ]; then
	case "$*" in *1/2*) me=1 other=2 ;; *) me=2 other=1 ;; esac
	touch here.$me
	for i in $(seq 100); do [ -e here.$other ] && break; sleep 0.1; done
	[ $i -lt 100 ] || exit 1
fi
case "$*" in
*"--share 1/2 "*" --done "*" api")
	case "$*" in
	*"--done api/release test_a.sh --done api/release test_b.sh api") ;;
	*"--done api/release test_a.sh api")
		echo "# 1.0 s, api/release test_b.sh" ;;
	*)
		exit 1 ;;
	esac ;;
*"--share 1/2 --processors 1 api")
	echo "# 1.0 s, api/release test_a.sh" ;;
*"--share 2/2 --processors 1 $part") ;;
*"--share 1/2 --processors 1 $part") ;;
*)
	exit 1 ;;
esac
case "$*" in
*"--share 1/2 "*api)
	echo "ok 1 - began"
	echo x >>crashes
	[ "$(wc -l <crashes)" -gt %d ] || exit 123 ;;
esac
echo "ok 2 - $part"
""" % (TREE, crashes))
    os.chmod(TREE + "/tests/lab/lab", 0o755)
    r = run("/usr/bin/python3", "-B", SRC + "/tests/run", "--src", TREE,
            "--build", "release=" + OUT, "lab", limit_s=60)
    like(r.out, "(?m)^" + counts, "a lab that crashes %d times: %s" % (crashes, counts))
    like(r.out, "(?m)" + text, "and says so")
    with open(TREE + "/said") as f:
        said = f.read()
    is_([said.count(" --share %s --processors %s\n" % x) for x in
         (("1/2", "1 priv"), ("2/2", "1 priv"), ("2/2", "1 api"), ("1/2", "1 lab"),
          ("2/2", "1 lab"), ("1/2", "2 priv api lab"), ("2/2", "2 priv api lab"))],
        [1] * 7, "the other parts run once, in both lanes")
    is_("--share 1/2 --processors 1 --done api/release test_a.sh --done api/release test_b.sh api\n" in said,
        crashes > 1, "what it came to is told to the next one (%d)" % crashes)
    for name in ("crashes", "said", "here.1", "here.2"):
        os.unlink(TREE + "/" + name)
r = run("/usr/bin/python3", "-B", SRC + "/tests/run", "--src", TREE,
        "--build", "release=" + OUT, "--match", "lab/nothing*", "lab", limit_s=60)
check(r.rc == 1 and r.out.splitlines()[-1] == "0 passed, 0 failed, 0 skipped", "--match reaches both lanes", r)

# a share of the programs: each is in one, whatever else is left out
for i in "cdefg":
    script("test_%s.sh" % i, "%secho 'ok 1 - one'" % ("# not in the lab: slow\n" if i == "d" else ""))
script("test_b.sh", "echo 'ok 1 - two'")
ran = []
for i in "123":
    r = run("env", "ISOLA_IN_LAB=1", "/usr/bin/python3", "-B", SRC + "/tests/run", "--src", TREE,
            "--build", "x=" + OUT, "--share", i + "/3", "--done", "priv/x test_c.sh", "priv",
            limit_s=60)
    ran.append(re.findall(r"(?m)^ok \d+ - priv/x test_(.)", r.out))
is_(ran, [["a", "d", "g"], ["b", "e"], ["f"]], "each program is in one share")
for bad in ("0/2", "3/2", "1", "x/y"):
    r = runner("--share", bad, "priv")
    check(r.rc == 2 and "share" in r.err, "%s is no share" % bad, r)
for i in "cdefg":
    os.unlink(TREE + "/tests/priv/test_%s.sh" % i)

# and is told what not to run
script("test_b.sh", "echo 'ok 1 - two'")
r = runner("--done", "priv/x test_a.sh", "priv")
check(r.rc == 0 and r.last == "1 passed, 0 failed, 0 skipped", "--done leaves a program out", r)

# two builds run side by side, and are shown one after the other
meet = """#!/bin/bash
touch %s/met.$ISOLA_BUILD_NAME
for i in $(seq 100); do [ -e %s/met.x ] && [ -e %s/met.y ] && break; sleep 0.1; done
[ $i -lt 100 ] && echo "ok 1 - met"
echo "%%s 2 - $ISOLA_BUILD_NAME"
""" % (T, T, T)
script("test_a.sh", meet % "ok")
script("test_b.sh", meet % "ok")
r = runner("--build", "y=" + OUT, "priv")
check(r.rc == 0 and r.last == "8 passed, 0 failed, 0 skipped", "two builds run at the same time", r)
like(r.out, r"(?s)^[^y]*priv/x test_b.sh: x\n[^y]*?(ok \d+ - |# )[^x]*priv/y test_b.sh: y\n",
     "and are shown one after the other")
like(r.out, r"(?m)^#  +[0-9.]+ s  priv/y test_a.sh$", "the slowest of all are named")
script("test_b.sh", meet % "not ok")
r = runner("--build", "y=" + OUT, "priv")
check(r.rc == 1 and r.last == "6 passed, 2 failed, 0 skipped", "failures of each count", r)
r = runner("--build", "y=" + OUT, "--match", "*a.sh", "priv")
check(r.rc == 0 and r.last == "4 passed, 0 failed, 0 skipped", "--match reaches them", r)
script("test_b.sh", "kill -9 $PPID; sleep 1")
r = runner("--build", "y=" + OUT, "priv")
check(r.rc == 1 and "not ok" in r.out and "the run on y: " in r.out,
      "a run that dies is a failure", r)

# whoever ends it gets rid of all of it: as a terminal does (all at once), and by the pid
os.unlink(TREE + "/tests/priv/test_b.sh")
script("test_a.sh", "trap '' INT; touch %s/begun.$ISOLA_BUILD_NAME; sleep 100" % T)
for how, tell in (("its group", os.killpg), ("its pid", os.kill)):
    scratch = T + "/scratch-" + how[-3:]
    os.mkdir(scratch)
    p = subprocess.Popen(["/usr/bin/python3", "-B", SRC + "/tests/run", "--src", TREE, "--build", "x=" + OUT,
                          "--build", "y=" + OUT, "priv"], env=dict(os.environ, TMPDIR=scratch),
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, process_group=0)
    check(wait_for(20, lambda: all(os.path.exists("%s/begun.%s" % (T, b)) for b in "xy")),
          "two runs that wait")
    is_(len(os.listdir(scratch)), 2, "have a folder each")
    tell(p.pid, signal.SIGINT)
    out = p.communicate(timeout=60)[0]
    check(p.returncode == 1 and "interrupted (SIGINT)" in out, "a SIGINT to %s ends them" % how, out)
    is_(os.listdir(scratch), [], "and they leave nothing")
    for b in "xy":
        os.unlink("%s/begun.%s" % (T, b))

r = runner("nonsense")
check(r.rc == 2 and "no suite 'nonsense'" in r.err, "an unknown suite is an error", r)
finish()
