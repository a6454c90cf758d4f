#!/usr/bin/env bash
# Clones the committed tree into $1 and runs `npm start` there as a newcomer does: an empty home, a free port. Expects /health to
# answer, the example's flow result to be printed, a clean stop on SIGTERM of the whole process group, and a clean checkout.
# What this checkout already fetched into `.toolchain/` is reused, so that the network is asked only for the packages.
set -u
target=${1:?a folder that does not exist yet}
root=$(cd "$(dirname "$0")/.." && pwd)
git clone -q "$root" "$target" || exit 1
[ -d "$root/.toolchain" ] && mkdir "$target/.toolchain" && cp -a "$root"/.toolchain/node-* "$root"/.toolchain/pnpm-* "$target/.toolchain/" 2>/dev/null
cd "$target" || exit 1
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
log=$target/.toolchain/start.log
mkdir -p "$target/.toolchain"
setsid --fork bash -c 'echo $$ >.toolchain/pid; exec env -u CI -u RUMI_REQUIRE_ENGINE RUMI_API_PORT='"$port"' npm start' >"$log" 2>&1 </dev/null
fail() { echo "$1; it printed:"; cat "$log"; kill -KILL -- "-$(cat .toolchain/pid)" 2>/dev/null; exit 1; }
healthy() { node -e 'fetch(process.argv[1]).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))' "http://127.0.0.1:$port/health"; }
for _ in $(seq 1 600); do
  healthy && break
  [ -f .toolchain/pid ] && ! kill -0 "$(cat .toolchain/pid)" 2>/dev/null && fail "npm start ended"
  sleep 0.5
done
healthy || fail "no /health after 300 s"
for _ in $(seq 1 60); do grep -q "ran once" "$log" && break; sleep 0.5; done
grep -A1 "ran once" "$log" | grep -q "(container," || fail "no flow result was printed within 30 s of the first /health"
pid=$(cat .toolchain/pid)
kill -TERM -- "-$pid"
for _ in $(seq 1 60); do kill -0 "$pid" 2>/dev/null || break; sleep 0.5; done
kill -0 "$pid" 2>/dev/null && fail "still there 30 s after SIGTERM"
healthy && fail "npm ended, but a daemon still answers"
dirty=$(git status --porcelain)
[ -z "$dirty" ] || fail "the checkout is dirty: $dirty"
cat "$log"
