#!/usr/bin/env bash
# runsc-up.sh - a second Docker engine whose containers run under gVisor (Debian's runsc), beside the first one (Debian, Ubuntu).
#
#   tools/runsc-up.sh          installs runsc, starts the engine, builds both base images in it; skips what is already there
#   tools/runsc-up.sh down     stops that engine and removes everything of it but the package
#
# It has folders, a socket and a network namespace of its own: in another namespace an engine without a bridge cannot take
# away the first one's, and no firewall rule is touched. Containers there have no network at all. The Node image is built with
# a readable `node`: Debian's runsc cannot run an execute-only program.
#
# The last lines of stdout are what to export so that the container and end-to-end suites use this engine:
#   eval "$(tools/runsc-up.sh | tail -2)"
#   node tools/bootstrap.mjs test --projects=docker contract escape      (both ways of calling: single-use, reuse)
#   node tools/bootstrap.mjs test --projects=e2e apps/rumid/test/hostile (the hostile example packs over HTTP)
# What is known to differ there stands in docs/threat-model.md.
#
# Settings (environment):
#   RUMI_RUNSC_STATE        folders, log, socket and pid of the engine  (/var/tmp/rumi-runsc)
#   RUMI_RUNSC_ARGS         arguments of runsc, separated by spaces     (--network=none --platform=ptrace --host-uds=open)
set -euo pipefail
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
exec </dev/null

: "${RUMI_RUNSC_STATE:=/var/tmp/rumi-runsc}"
: "${RUMI_RUNSC_ARGS:=--network=none --platform=ptrace --host-uds=open}"
SOCKET=$RUMI_RUNSC_STATE/docker.sock PIDFILE=$RUMI_RUNSC_STATE/docker.pid LOG=$RUMI_RUNSC_STATE/dockerd.log

die() { printf 'runsc-up: %s\n' "$*" >&2; exit 1; }
answers() { [ -S "$SOCKET" ] && docker -H "unix://$SOCKET" version --format '{{.Server.Version}}' >/dev/null 2>&1; }
# The pid of our engine, when it lives: a number left in the file may be another program's by now.
engine_pid() {
  local pid
  pid=$(cat "$PIDFILE" 2>/dev/null || true)
  [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "--pidfile=$PIDFILE " && echo "$pid"
}

[ "$(id -u)" = 0 ] || die "needs root"

if [ "${1:-}" = down ]; then
  if answers; then docker -H "unix://$SOCKET" ps -aq | xargs -r docker -H "unix://$SOCKET" rm -f >/dev/null; fi
  if pid=$(engine_pid); then
    kill "$pid"
    for _ in $(seq 1 300); do [ -n "$(engine_pid)" ] || break; sleep 0.1; done
    [ -z "$(engine_pid)" ] || die "the engine does not end (pid $pid)"
  fi
  # What it mounted goes before its folders do.
  awk -v state="$RUMI_RUNSC_STATE/" 'index($2, state) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r -n 1 umount
  rm -rf "$RUMI_RUNSC_STATE"
  exit 0
fi

if ! command -v runsc >/dev/null; then
  command -v apt-get >/dev/null || die "runsc is missing, and there is no apt-get to install it with"
  install() { apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 --no-install-recommends install runsc >&2; }
  install || { apt-get -qq -o DPkg::Lock::Timeout=300 update >&2; install; }
fi
command -v dockerd >/dev/null || die "dockerd is missing: tools/engine-up.sh installs it"

if ! answers; then
  mkdir -p "$RUMI_RUNSC_STATE"
  chmod 700 "$RUMI_RUNSC_STATE"
  words=$(printf '"%s", ' $RUMI_RUNSC_ARGS)
  printf '{"runtimes": {"runsc": {"path": "%s", "runtimeArgs": [%s]}}}\n' "$(command -v runsc)" "${words%, }" >"$RUMI_RUNSC_STATE/daemon.json"
  [ -n "$(engine_pid)" ] || rm -f "$PIDFILE"
  ( cd / && exec setsid --fork unshare --net dockerd --config-file="$RUMI_RUNSC_STATE/daemon.json" --host="unix://$SOCKET" --pidfile="$PIDFILE" \
      --data-root="$RUMI_RUNSC_STATE/data" --exec-root="$RUMI_RUNSC_STATE/exec" --bridge=none --iptables=false >"$LOG" 2>&1 )
  for _ in $(seq 1 300); do answers && break; sleep 0.1; done
  answers || { tail -5 "$LOG" >&2; die "the engine does not start (log: $LOG)"; }
fi

DOCKER_HOST="unix://$SOCKET" RUMI_ENGINE_STATE="$RUMI_RUNSC_STATE/images" RUMI_NODE_MODE=0755 "$(dirname "$0")/engine-up.sh" >&2
docker -H "unix://$SOCKET" run --rm --runtime=runsc --network=none --read-only --user=65534:65534 rumi-base-python:dev /usr/bin/python3 -I -c 'pass' ||
  die "the engine is up, but no program runs under runsc (log: $LOG)"

printf 'export RUMI_TEST_ENGINE_SOCKET=%s\n' "$SOCKET"
printf 'export RUMI_TEST_OCI_RUNTIME=runsc\n'
