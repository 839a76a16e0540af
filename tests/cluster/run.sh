#!/usr/bin/env bash
# A sweep and a sharded reproduction on a real Slurm of one node, with jobs killed and requeued in the middle:
#   tests/cluster/run.sh [PYTHON]      PYTHON has bnexp[slurm]
# Exit code: 0 nothing was lost, 77 no Slurm can be had here (the reason is the last line), else something was.
set -euo pipefail
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
python=${1:-$here/../../.venv/bin/python}
case $python in */*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;; esac
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
if ! command -v slurmctld >/dev/null && ! [ -x /usr/sbin/slurmctld ] && command -v apt-get >/dev/null; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    { timeout 60 $sudo apt-get update && DEBIAN_FRONTEND=noninteractive timeout 300 $sudo apt-get install -y --no-install-recommends slurm-wlm munge; } \
        >"$work/apt" 2>&1 || tail -n 1 "$work/apt"
fi
mkdir "$work/runs"
cd "$work/runs"
"$here/one_node.sh" "$work/slurm" "$python" "$here/check.py"
