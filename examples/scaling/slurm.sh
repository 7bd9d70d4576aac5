#!/bin/sh
# Starts and stops engines as jobs of SLURM: what `scale: {command: …}` of Penstock asks for.
#
#   slurm.sh list           one JSON object a line, of every job of this pool
#   slurm.sh start COUNT    submit so many more
#   slurm.sh stop NAME      end that one; Penstock has drained it
#
# Only jobs that carry this pool's name are ever seen, and so only those are ended. The job script
# (ENGINE_SCRIPT) starts an engine on ENGINE_PORT of its node.
set -eu

job="penstock-${PENSTOCK_POOL:?}"
port="${ENGINE_PORT:-8000}"

# The job's number, its state, the node that it runs on.
jobs() {
    squeue --noheader --me --name "$job" --format '%i %T %N'
}

answers() {
    curl --silent --fail --max-time 2 --output /dev/null "http://$1:$port/health"
}

case "$1" in
list)
    jobs | while read -r id state node; do
        case "$state" in
        RUNNING)
            ready=false
            if answers "$node"; then ready=true; fi
            printf '{"name": "%s", "url": "http://%s:%s", "ready": %s}\n' "$id" "$node" "$port" "$ready"
            ;;
        PENDING | CONFIGURING)
            printf '{"name": "%s"}\n' "$id"
            ;;
        esac
    done
    ;;
start)
    i=0
    while [ "$i" -lt "$2" ]; do
        sbatch --quiet --job-name "$job" "${ENGINE_SCRIPT:?}"
        i=$((i + 1))
    done
    ;;
stop)
    # A number that is not of this pool's jobs is not ended.
    if jobs | grep --quiet "^$2 "; then
        scancel "$2"
    fi
    ;;
*)
    echo "usage: slurm.sh list | start COUNT | stop NAME" >&2
    exit 2
    ;;
esac
