# SPDX-License-Identifier: Apache-2.0
#
# login and logout, of ctrctl and of Docker's own client, at Debian's registry with TLS
# and htpasswd and at one with tokens; what is kept in config.json and by credential
# helpers; and pull and push with it, each reading what the other stored.
# time limit: 240 s
# not in the lab: it says nothing of the host that is not shown here
import base64
import json
import os
import pty
import select
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + "/..")
from lib import *
from reglib import *

need_root()
need_program("isolad", "isola-keeper", "isola-image", "ctrctl")
for tool in ("docker-registry", "htpasswd", "openssl", "skopeo"):
    if run("sh", "-c", "command -v " + tool).rc:
        skip_all(tool + " is not installed")
CONF, MODE, LOG = T + "/registries.json", T + "/mode", T + "/log"
HOME = T + "/docker"
FILE = HOME + "/config.json"
REG = "localhost:5003"
ENV = {**os.environ, "DOCKER_CONFIG": HOME, "HOME": T, "PATH": T + "/bin:" + os.environ["PATH"]}
if not make_certificate() or run("htpasswd", "-Bbc", T + "/users", "jo", "secret").rc:
    skip_all("cannot make a certificate and a password file")
json.dump({"registries": {REG: {"ca_file": T + "/cert.pem"}}}, open(CONF, "w"))
open(MODE, "w").write("token")
open(LOG, "w").close()
d = start_isolad("--registries", CONF) or skip_all("isolad does not start")
registry(d, 5003, "reg", tls=True, htpasswd=T + "/users")
spawn(d, sys.executable, HERE + "/uploads.py", "5001", MODE, LOG)
need_answers(d, 5003, 5001)
ENV["DOCKER_HOST"] = ENV["ISOLA_SOCKET"] = "unix://" + d.socket


def ctr(*argv, **kw):
    return run(BUILD + "/ctrctl", *argv, env=ENV, **kw)


def stored():
    return json.load(open(FILE)) if os.path.exists(FILE) else {}


def entry(server=REG):
    return stored().get("auths", {}).get(server)


JO = base64.b64encode(b"jo:secret").decode()
d.ctr("import", busybox_tar(T + "/root.tar"), REG + "/t/box:1")

# ------------------------------------------------------------------- the file

got = ctr("push", REG + "/t/box:1")
check(got.rc == 1 and "wants a log-in" in got.err, "a push without a log-in", got)
got = ctr("login", "-u", "jo", "--password-stdin", REG, text="wrong\n")
check(got.rc == 1 and "refuses" in got.err, "a wrong password", got)
is_(stored(), {}, "is not kept")
os.makedirs(HOME, exist_ok=True)
json.dump({"psFormat": "table {{.ID}}", "auths": {"old.lan": {"auth": "YTpi"}},
           "HttpHeaders": {"X": "1.50"}}, open(FILE, "w"))
got = ctr("login", "-u", "jo", "--password-stdin", REG, text="secret\n")
check(got.rc == 0 and got.out == "Login Succeeded\n" and "unencrypted" in got.err, "log in", got)
is_(entry(), {"auth": JO}, "as Docker keeps it")
o = stored()
is_((o["psFormat"], o["auths"]["old.lan"], o["HttpHeaders"]),
    ("table {{.ID}}", {"auth": "YTpi"}, {"X": "1.50"}), "what else is there stays")
is_(stat.S_IMODE(os.stat(FILE).st_mode), 0o600, "for its owner alone")
is_(os.listdir(HOME), ["config.json"], "and no half of it beside")
got = ctr("push", REG + "/t/box:1")
check(got.rc == 0 and "1: digest: sha256:" in got.out, "push", got)
pushed = got.out.split("digest: ")[1].split()[0]
d.ctr("rmi", "-f", REG + "/t/box:1")
check(ctr("pull", REG + "/t/box:1").rc == 0, "pull")


def build():
    """Of a base that the registry is asked for."""
    os.makedirs(T + "/context", exist_ok=True)
    open(T + "/context/Dockerfile", "w").write("FROM %s/t/box:1\nLABEL a=b\n" % REG)
    return ctr("build", "--pull", "-q", T + "/context", limit_s=60)


got = build()
check(got.rc == 0 and got.out.startswith("sha256:"), "a build pulls its base with it", got)
got = ctr("login", REG)
check(got.rc == 0 and "existing credentials" in got.err and "Succeeded" in got.out,
      "log in again, with what is stored", got)
got = ctr("login", "-u", "jo", "-p", "secret", "https://%s/v2/" % REG)
check(got.rc == 0 and entry() == {"auth": JO} and "password-stdin" in got.err,
      "by the registry's address, and -p", got)
got = ctr("login", "-u", "jo", "--password-stdin", "-p", "x", REG)
check(got.rc == 1 and "exclude" in got.err, "two passwords", got)
got = ctr("login", "--password-stdin", REG, text="x")
check(got.rc == 1 and "needs --username" in got.err, "a password without a user", got)
got = ctr("logout", REG)
check(got.rc == 0 and got.out == "Removing login credentials for %s\n" % REG and
      entry() is None and entry("old.lan"), "log out", got)
got = build()
check(got.rc != 0 and "wants a log-in" in got.err + got.out, "a build without", got)
is_(ctr("logout", REG).out, "Not logged in to %s\n" % REG, "twice")
got = ctr("login", REG)
check(got.rc == 1 and "no terminal" in got.err, "nobody to ask", got)
open(FILE, "w").write("{ no JSON")
got = ctr("login", "-u", "jo", "--password-stdin", REG, text="secret\n")
check(got.rc == 1 and FILE in got.err and open(FILE).read() == "{ no JSON",
      "a broken file is named, and left", got)
got = ctr("pull", REG + "/t/box:1")
check("WARNING: no log-in is used" in got.err, "a pull goes on without it", got)
os.unlink(FILE)

# ------------------------------------------------------------------ a terminal


def type_login(*words):
    """What the terminal shows."""
    master, slave = pty.openpty()
    p = subprocess.Popen([BUILD + "/ctrctl", "login", REG], env=ENV, stdin=slave, stdout=slave,
                         stderr=slave, start_new_session=True)
    os.close(slave)
    text, words, end = "", list(words), time.monotonic() + 20 * SCALE
    while time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            try:
                text += os.read(master, 65536).decode()
            except OSError:
                break
            if words and text.endswith(": "):       # who types at once is heard, too
                os.write(master, words.pop(0).encode() + b"\n")
    os.close(master)
    return p.wait(30 * SCALE), text


rc, text = type_login("jo", "secret")
check(rc == 0 and "Login Succeeded" in text and "jo" in text, "typed in", text)
check("secret" not in text, "and the password is not shown", text)
is_(entry(), {"auth": JO}, "it is kept")
os.unlink(FILE)

# ------------------------------------------------------------------ identity tokens

got = ctr("login", "-u", "jo", "--password-stdin", "127.0.0.1:5001", text="secret")
check(got.rc == 0, "a registry with tokens", got)
is_(entry("127.0.0.1:5001"), {"auth": base64.b64encode(b"jo:").decode(),
                              "identitytoken": "keep-me"},
    "its identity token is kept, and no password")
d.ctr("tag", REG + "/t/box:1", "127.0.0.1:5001/t/box:1")
open(LOG, "w").close()
got = ctr("push", "127.0.0.1:5001/t/box:1")
check(got.rc == 0, "and a push uses it", got)
forms = [json.loads(x)[2] for x in open(LOG) if x.startswith('["form"')]
check(forms and all(f["grant_type"] == ["refresh_token"] and f["service"] == ["test"] and
                    f["scope"] == ["repository:t/box:pull,push"] for f in forms),
      "by POST", forms)

# ------------------------------------------------------------------ credential helpers

os.makedirs(T + "/bin", exist_ok=True)
open(T + "/bin/docker-credential-box", "w").write("""#!/bin/sh
cd %s/kept
case $1 in
store) cat > new; mv new "$(sed 's/.*"ServerURL": *"\\([^"]*\\)".*/\\1/;s,/,_,g' new)" ;;
get) read -r s; f=$(echo "$s" | sed 's,/,_,g')
     [ -f "$f" ] && cat "$f" || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) read -r s; rm -f "$(echo "$s" | sed 's,/,_,g')" ;;
esac
""" % T)
os.chmod(T + "/bin/docker-credential-box", 0o755)
os.makedirs(T + "/kept", exist_ok=True)
json.dump({"credHelpers": {REG: "box"}}, open(FILE, "w"))
got = ctr("pull", REG + "/t/box:1")
check(got.rc == 1 and "wants a log-in" in got.err and "WARNING" not in got.err,
      "a helper that has nothing", got)
got = ctr("login", "-u", "jo", "--password-stdin", REG, text="secret")
check(got.rc == 0 and "unencrypted" not in got.err, "a helper takes it", got)
is_(entry(), {}, "the file has no secret")
kept = json.load(open(T + "/kept/" + REG))
is_((kept["Username"], kept["Secret"]), ("jo", "secret"), "the helper has it")
got = ctr("pull", REG + "/t/box:1")
check(got.rc == 0, "and gives it for a pull", got)
got = build()
check(got.rc == 0, "and for a build", got)
got = ctr("logout", REG)
check(got.rc == 0 and os.listdir(T + "/kept") == [], "and forgets it", got)
json.dump({"credsStore": "missing"}, open(FILE, "w"))
got = ctr("login", "-u", "jo", "--password-stdin", REG, text="secret")
check(got.rc == 1 and "docker-credential-missing" in got.err, "a helper that is not there", got)
json.dump({"credsStore": "../x"}, open(FILE, "w"))
got = ctr("logout", REG)
check(got.rc == 1 and "no name of a credential helper" in got.err, "nor is a path one", got)
os.unlink(FILE)

# ------------------------------------------------------------------ Docker's own client

CLIENTS = [p for p in ("/usr/bin/docker", "/usr/local/bin/docker") if os.access(p, os.X_OK)]
for docker in CLIENTS:
    who = docker + ": "

    def dk(*argv, **kw):
        return run(docker, *argv, env=ENV, **kw)

    got = dk("login", "-u", "jo", "--password-stdin", REG, text="wrong")
    check(got.rc == 1 and "refuses" in got.err, who + "a wrong password", got)
    got = dk("login", "-u", "jo", "--password-stdin", REG, text="secret")
    check(got.rc == 0 and "Login Succeeded" in got.out, who + "login", got)
    is_(entry(), {"auth": JO}, who + "as we keep it")
    d.ctr("rmi", "-f", REG + "/t/box:1")
    got = dk("pull", REG + "/t/box:1")
    check(got.rc == 0 and "Downloaded newer image" in got.out, who + "pull", got)
    dk("tag", REG + "/t/box:1", REG + "/t/dock:2")
    got = dk("push", REG + "/t/dock:2")
    check(got.rc == 0 and "2: digest: " + pushed in got.out, who + "push", got)
    got = dk("push", "-q", REG + "/t/dock:2")
    is_(got.out, REG + "/t/dock:2\n", who + "push -q")
    dk("tag", REG + "/t/box:1", REG + "/t/dock:3")
    got = dk("push", "-a", REG + "/t/dock")
    check(got.rc == 0 and "2: digest: " in got.out and "3: digest: " in got.out,
          who + "push -a", got)
    got = dk("push", REG + "/t/none:1")
    check(got.rc == 1 and "does not exist locally" in got.err, who + "push of nothing", got)
    got = ctr("push", REG + "/t/dock:2")
    check(got.rc == 0, who + "ctrctl uses its log-in", got)
    got = dk("logout", REG)
    check(got.rc == 0 and entry() is None, who + "logout", got)
    got = dk("push", REG + "/t/dock:2")
    check(got.rc == 1 and "wants a log-in" in got.err, who + "push without", got)
if not CLIENTS:
    skip("Docker's own client", "it is not installed")

# what skopeo says of it, with the test's CA
run("sh", "-ec", "mkdir -p %s/certs && cp %s/cert.pem %s/certs/ca.crt" % (T, T, T))
got = d.in_net("skopeo", "inspect", "--cert-dir", T + "/certs", "--creds", "jo:secret",
               "docker://" + REG + "/t/box:1")
check(got.rc == 0 and json.loads(got.out)["Digest"] == pushed, "skopeo sees the same digest", got)
end_children()
finish()
