#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
# time limit: 180 s
#
# docker-compose, as it comes, against isolad: a project of two services with a network,
# names, a published port, a volume and a health check, up and down.
import json
import os
import shutil
import sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from lib import *
from netlib import *

need_root()
need_program("isolad", "ctrctl", "isola-keeper", "isola-image", "isola-resolver")
need_network()
COMPOSE = shutil.which("docker-compose") or skip_all("docker-compose is not installed")

PROJECT = """
version: "3.8"
services:
  web:
    image: busybox
    command: ["sh", "-c",
              "mkdir -p /www; echo hi > /www/index.html; exec httpd -f -p 80 -h /www"]
    ports: ["8088:80"]
    environment: {COLOUR: red}
    healthcheck:
      test: ["CMD", "wget", "-q", "-O", "-", "http://127.0.0.1/"]
      interval: 200ms
    volumes: ["data:/data"]
  client:
    image: busybox
    depends_on: [web]
    command: ["sleep", "1000"]
volumes:
  data:
"""

d = start_isolad("--default-network", "bridge") or skip_all("isolad does not start")
good = d.ctr("import", busybox_tar(T + "/root.tar"), "busybox").rc == 0
check(good, "an image is imported")
os.mkdir(T + "/shop")
with open(T + "/shop/docker-compose.yml", "w") as f:
    f.write(PROJECT)
ENV = dict(os.environ, DOCKER_HOST="unix://" + d.socket, DOCKER_CONFIG=T + "/docker", HOME=T)
leak_mark()


def compose(*argv, **kw):
    return run(COMPOSE, *argv, env=ENV, cwd=T + "/shop", limit_s=60, **kw)


def done(text, got):
    return check(got.rc == 0, text, got)


done("up", compose("up", "-d"))
check(wait_for(20, lambda: "Up (healthy)" in compose("ps").out), "both run, and are well",
      compose("ps"))
check(compose("ps", "-q").out.count("\n") == 2, "both are listed")


def page():
    return compose("exec", "-T", "client", "wget", "-q", "-O", "-", "http://web/")


check(wait_for(20, lambda: page().out == "hi\n"), "one reaches the other by its name", page())
got = d.in_net("busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8088/")
check(got.out == "hi\n", "its port is published", got)
done("exec", compose("exec", "-T", "web", "sh", "-c", "echo $COLOUR > /data/f"))
done("restart", compose("restart", "-t", "0", "web"))
check(wait_for(20, lambda: compose("exec", "-T", "web", "cat", "/data/f").out == "red\n"),
      "the volume outlives it", compose("exec", "-T", "web", "cat", "/data/f"))
check(wait_for(20, lambda: page().out == "hi\n"), "it is reached again", page())
done("scale", compose("up", "-d", "--scale", "client=3", "--no-recreate"))
is_(compose("ps", "-q", "client").out.count("\n"), 3, "three of one service")
done("logs", compose("logs"))
like(compose("port", "web", "80").out, r"^0\.0\.0\.0:8088\n", "port")
config = json.loads(d.ctr("network", "inspect", "shop_default").out)[0]
is_((config["Attachable"], config["Labels"].get("com.docker.compose.project")), (True, "shop"),
    "its network is as it was asked for")
done("stop", compose("stop", "-t", "0"))
done("down", compose("down", "-v", "-t", "0"))
is_(d.ctr("ps", "-aq").out, "", "no container is left")
check("shop" not in d.ctr("network", "ls").out, "no network", d.ctr("network", "ls"))
is_(d.ctr("volume", "ls", "-q").out, "", "no volume")
leak_check()
finish()
