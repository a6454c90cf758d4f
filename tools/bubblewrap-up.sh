#!/usr/bin/env bash
# Puts bubblewrap, the sandbox that needs no daemon, on this machine with its own package manager, and Python 3 beside it where
# there is none. Does nothing when both are there. As root it installs; as another user it says the one command and exits 1.
#
# No tty needed; reads nothing from stdin. The last line of stdout says what is there.
set -euo pipefail
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
exec </dev/null

present() {
  local program
  for program in bwrap unshare setpriv /usr/bin/python3; do command -v "$program" >/dev/null || return 1; done
}
done_line() { printf 'bubblewrap: %s, %s\n' "$(bwrap --version)" "$1"; }

if present; then done_line "already there"; exit 0; fi

if command -v apt-get >/dev/null; then
  install() { apt-get -qq -o DPkg::Lock::Timeout=300 -y --no-install-recommends install bubblewrap python3 util-linux; }
  install_or_refresh() { install || { apt-get -qq -o DPkg::Lock::Timeout=300 update && install; }; }
  command='apt-get install -y bubblewrap python3'
elif command -v dnf >/dev/null; then
  install_or_refresh() { dnf -q -y install bubblewrap python3 util-linux; }
  command='dnf install -y bubblewrap python3'
elif command -v zypper >/dev/null; then
  install_or_refresh() { zypper -q -n install bubblewrap python3 util-linux; }
  command='zypper install -y bubblewrap python3'
elif command -v pacman >/dev/null; then
  install_or_refresh() { pacman -S --needed --noconfirm bubblewrap python util-linux; }
  command='pacman -S bubblewrap python'
elif command -v apk >/dev/null; then
  install_or_refresh() { apk add -q bubblewrap python3 util-linux; }
  command='apk add bubblewrap python3 util-linux'
else
  echo "no package manager of a known kind is here: install bubblewrap and Python 3 by hand" >&2
  exit 1
fi

if [ "$(id -u)" != 0 ]; then
  echo "bubblewrap is missing; install it with: sudo $command" >&2
  exit 1
fi
install_or_refresh >&2
present || { echo "installed, but bubblewrap or Python 3 is still not there" >&2; exit 1; }
done_line "installed"
