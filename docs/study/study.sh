#!/usr/bin/env bash
# The comparison that results/ shows, from nothing: demonstrations, trainings, runs, reports, in the folder OUT.
#
#     docs/study/study.sh OUT
#
# It takes many hours on two cores, and tens of GB for images. Run it again to resume.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" && cd "$1"

record() { # record FOLDER EPISODES [flags]
  calvinbench record --out "$1" --form compact --static-size 100 --gripper-size 84 --episodes "$2" \
    --validation-episodes 30 --max-steps 200 --workers 2 "${@:3}"
}

record demonstrations 750
record demonstrations-half 375
record demonstrations-quarter 188
record demonstrations-clean 188 --noise 0 --kicks 0
"$here/backbones.sh" demonstrations comparison

calvinbench run "$here/backbones.yaml"
calvinbench run "$here/seeds.yaml" --out runs/backbones
calvinbench run "$here/history.yaml"
calvinbench run "$here/ablations.yaml"
calvinbench report runs/backbones
calvinbench report runs/history --reference checkpoint:comparison/history-none/checkpoint
calvinbench report runs/ablations --reference checkpoint:comparison/paligemma/checkpoint
"${PYTHON:-$(dirname "$(command -v calvinbench)")/python}" "$here/study_table.py" comparison runs/backbones runs/history runs/ablations
