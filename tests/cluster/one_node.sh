#!/usr/bin/env bash
# A Slurm of one node, started for one command and gone after it:  one_node.sh FOLDER COMMAND ...
# Nothing of it is outside FOLDER: its own munge key and sockets, its own ports, no service of the machine is touched.
# Exit code: the command's; 77 if a Slurm cannot be had here, with the reason as the last line.
set -euo pipefail
folder=$1
shift
export PATH="$PATH:/usr/sbin:/sbin"
for program in munged slurmctld slurmd sbatch squeue; do
    command -v "$program" >/dev/null || { echo "$program is not installed (apt-get install slurm-wlm munge)"; exit 77; }
done
mkdir -p -m 755 "$folder"
folder=$(cd "$folder" && pwd)
mkdir -p -m 755 "$folder"/munge "$folder"/state "$folder"/spool "$folder"/log
export SLURM_CONF="$folder/slurm.conf"  # from here on no command of Slurm's can reach another one
started=()
stop() {
    scancel --user="$(id -un)" >/dev/null 2>&1 || true
    for ((place = ${#started[@]} - 1; place >= 0; place--)); do
        kill "${started[place]}" 2>/dev/null || true
        for _ in $(seq 100); do kill -0 "${started[place]}" 2>/dev/null || break; sleep 0.1; done
        kill -9 "${started[place]}" 2>/dev/null || true
    done
}
trap stop EXIT
fail() {
    echo "$1; the end of its log:"
    tail -n 5 "$2"
    exit 77
}
waits_for() { # COMMAND ...: until it succeeds, 20 s at most
    for _ in $(seq 100); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done
    return 1
}

socket="$folder/munge/socket"
(umask 077 && head -c 1024 /dev/urandom >"$folder/munge/key")
munged --foreground --force --key-file="$folder/munge/key" --socket="$socket" --pid-file="$folder/munge/pid" \
    --log-file="$folder/log/munged" --seed-file="$folder/munge/seed" >"$folder/log/munged.out" 2>&1 &
started+=($!)
waits_for test -S "$socket" || fail "munged does not start" "$folder/log/munged.out"

read -r port node_port < <(python3 -c 'import socket
a, b = socket.socket(), socket.socket()
a.bind(("127.0.0.1", 0)), b.bind(("127.0.0.1", 0))
print(a.getsockname()[1], b.getsockname()[1])')
cat >"$SLURM_CONF" <<END
ClusterName=one_node
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$node_port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$socket,cred_expire=3
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/slurmd
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MailProg=/bin/true
KillWait=10
SchedulerParameters=sched_interval=2,batch_sched_delay=1
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc)
PartitionName=one Nodes=$(hostname -s) Default=YES MaxTime=INFINITE State=UP
END
slurmctld -D >"$folder/log/slurmctld.out" 2>&1 &
started+=($!)
slurmd -D >"$folder/log/slurmd.out" 2>&1 &
started+=($!)
waits_for eval 'sinfo --noheader --format=%T | grep -q idle' || fail "no node of this Slurm comes up" "$folder/log/slurmd"
"$@"
