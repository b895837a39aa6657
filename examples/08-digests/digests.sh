#!/usr/bin/env bash
# Digests of a sharded checkpoint, one process a shard, and the cheap merge at the end.
#
#   digests.sh OUT.json SHARD...        CKDIFF names the program where it is not on the PATH
#
# On a cluster each line of the loop is a job (an element of a Slurm array, a Ray task, a Spark partition) on whatever
# machine has the shard; only the small JSON files travel.
set -euo pipefail
ckdiff=${CKDIFF:-ckdiff}
out=$1
shift
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
jobs=()
for shard in "$@"; do
    "$ckdiff" snapshot "$shard" --digest -o "$parts/$(basename "$shard").json" &
    jobs+=($!)
done
for job in "${jobs[@]}"; do
    wait "$job"
done
"$ckdiff" snapshot "$parts"/*.json -o "$out"
