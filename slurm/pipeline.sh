#!/usr/bin/env bash
# Submit production and training together, and what ends the production when the training has ended:
#   slurm/pipeline.sh [--dry-run] SPOOL RUN [options of xrdtrain fit ...]
#
# Set the values below, here or in the environment. Prints the ids of the jobs; --dry-run prints the commands instead.

: "${XRD_VENV:=$PWD/.venv}"       # where xrdgen and xrdtrain are installed
: "${ACCOUNT:=}"                  # to be charged; empty: the cluster's default
: "${PRODUCE_PARTITION:=}"        # nodes with many cores; empty: the cluster's default
: "${PRODUCE_TIME:=24:00:00}"     # limit of a production task, which then queues itself again
: "${WORKERS:=256}"               # of the production, in all
: "${CORES_PER_TASK:=64}"         # of a production task, on one node
: "${PRODUCE_OPTIONS:=}"          # of xrdgen produce, such as "--seed 1 --statistics /scratch/me/mine.npz"
: "${FIT_PARTITION:=}"            # nodes with GPUs; empty: the cluster's default
: "${FIT_TIME:=48:00:00}"         # limit of the training, which then queues itself again
: "${NODES:=1}"                   # of the training
: "${GPUS:=1}"                    # of each of its nodes: a process each; 0 for a small network on cores
: "${FIT_CORES:=8}"               # of a process of the training
: "${FIT_SBATCH:=}"               # more options of sbatch for the training, such as "--gpus-per-node=0 --mem=8G"
: "${PRODUCE_SBATCH:=}"           # more options of sbatch for the production
: "${XRD_SETUP:=}"                # shell script that all jobs read first: modules, conda, XRD_LAUNCH for a container
: "${LOGS:=}"                     # folder for the logs; empty: the one that this is called in

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

dry=no
if [ "${1:-}" = --dry-run ]; then
    dry=yes
    shift
fi
if [ $# -lt 2 ] || [ "${1#-}" != "$1" ] || [ "${2#-}" != "$2" ]; then
    echo "usage: slurm/pipeline.sh [--dry-run] SPOOL RUN [options of xrdtrain fit ...]" >&2
    exit 2
fi
XRD_SPOOL=$(realpath -m -- "$1")
XRD_RUN=$(realpath -m -- "$2")
shift 2
export XRD_SPOOL XRD_RUN XRD_VENV XRD_SETUP
export XRD_WAIT=600 # seconds that the training waits for the production to make the spool

if [ "$dry" = no ] && ! command -v sbatch >/dev/null; then
    echo "pipeline.sh: error: sbatch not found; submit on a machine of the cluster, or use --dry-run" >&2
    exit 2
fi
if [ ! -x "$XRD_VENV/bin/xrdgen" ]; then
    echo "pipeline.sh: error: $XRD_VENV/bin/xrdgen: not there; set XRD_VENV to the environment it is installed in" >&2
    exit 2
fi

if [ -n "$XRD_SETUP" ]; then
    [ -f "$XRD_SETUP" ] || { echo "pipeline.sh: error: XRD_SETUP=$XRD_SETUP: no such file" >&2; exit 2; }
    XRD_SETUP=$(realpath -- "$XRD_SETUP")
fi
logs=()
drain_log=xrddrain-%j.log
if [ -n "$LOGS" ]; then
    LOGS=$(realpath -m -- "$LOGS")
    [ "$dry" = yes ] || mkdir -p -- "$LOGS" || exit 2
    logs=(--output="$LOGS/xrdgen-%A_%a.log" --output="$LOGS/xrdtrain-%j.log")
    drain_log=$LOGS/$drain_log
fi

read -ra produce_options <<<"$PRODUCE_OPTIONS"
read -ra produce_sbatch <<<"$PRODUCE_SBATCH"
read -ra fit_sbatch <<<"$FIT_SBATCH"
common=()
[ -z "$ACCOUNT" ] || common+=("--account=$ACCOUNT")
produce_partition=()
[ -z "$PRODUCE_PARTITION" ] || produce_partition+=("--partition=$PRODUCE_PARTITION")
fit_partition=()
[ -z "$FIT_PARTITION" ] || fit_partition+=("--partition=$FIT_PARTITION")

# Submit, or print what would be submitted; the id of the job is on standard output.
submit() {
    local name=$1
    shift
    if [ "$dry" = yes ]; then
        {
            printf '%s=%q ' XRD_SPOOL "$XRD_SPOOL" XRD_RUN "$XRD_RUN" XRD_VENV "$XRD_VENV" XRD_WAIT "$XRD_WAIT"
            [ -z "$XRD_SETUP" ] || printf 'XRD_SETUP=%q ' "$XRD_SETUP"
            printf '%q ' sbatch "$@"
            echo
        } >&2
        echo "<$name>"
    else
        sbatch "$@" | cut -d';' -f1
    fi
}

if [ "$dry" = no ] && [ -e "$XRD_SPOOL/control/stop" ]; then
    "$XRD_VENV/bin/xrdgen" drain "$XRD_SPOOL" --undo
fi

# What either command would refuse is said now, not by a job in an hour.
hours=$("$XRD_VENV/bin/xrdgen" produce "$XRD_SPOOL" --workers "$WORKERS" --cores-per-task "$CORES_PER_TASK" \
    --time "$PRODUCE_TIME" "${produce_options[@]}" --dry-run 2>&1 >/dev/null) || { echo "$hours" >&2; exit 2; }
"$XRD_VENV/bin/xrdtrain" fit "$XRD_SPOOL" "$@" --help >/dev/null || exit 2
model=
for word in "$@"; do
    case "$word" in --model=*) model=${word#--model=} ;; esac
    [ "$model" != next ] || model=$word
    [ "$word" != --model ] || model=next
done
if [ -n "$model" ] && [ "${model#*:}" = "$model" ] && ! "$XRD_VENV/bin/xrdtrain" models --json | grep -qF "\"name\": \"$model\""; then
    echo "pipeline.sh: error: --model $model: no such model; \`xrdtrain models\` lists them" >&2
    exit 2
fi

tasks=$(((WORKERS + CORES_PER_TASK - 1) / CORES_PER_TASK))
produce=$(submit production --parsable "${common[@]}" "${produce_partition[@]}" --time="$PRODUCE_TIME" \
    --array="0-$((tasks - 1))" --cpus-per-task=$(((WORKERS + tasks - 1) / tasks)) "${logs[@]:0:1}" "${produce_sbatch[@]}" \
    "$here/produce.sbatch" "${produce_options[@]}")
fit=$(submit training --parsable "${common[@]}" "${fit_partition[@]}" --time="$FIT_TIME" \
    --nodes="$NODES" --ntasks="$((NODES * (GPUS > 0 ? GPUS : 1)))" --ntasks-per-node="$((GPUS > 0 ? GPUS : 1))" \
    --gpus-per-node="$GPUS" --cpus-per-task="$FIT_CORES" --dependency="after:${produce}_0" \
    "${logs[@]:1:1}" "${fit_sbatch[@]}" "$here/fit.sbatch" "$@")
# However the training ends for good (done, failed, cancelled), but not when it is queued again.
drain=$(submit drain --parsable "${common[@]}" "${produce_partition[@]}" --time=5 --ntasks=1 --job-name=xrddrain \
    --output="$drain_log" --dependency="afterany:$fit" --wrap "$(printf '%q drain %q' "$XRD_VENV/bin/xrdgen" "$XRD_SPOOL")")

echo "production $produce   ($hours)"
echo "training   $fit   (starts when production has started)"
echo "drain      $drain   (ends the production when the training has ended)"
