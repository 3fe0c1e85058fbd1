#!/usr/bin/env bash
# Trains the policies that suites/backbones.yaml and suites/ablations.yaml compare, one after another, on two cores.
#
#     docs/backbones.sh DEMONSTRATIONS OUT [NAME ...]     all of them, or those whose names begin with one of NAME
#
# Each goes on where it was stopped, and is passed over once it is done. OUT/NAME/checkpoint is what suites call
# checkpoint:OUT/NAME/checkpoint. DEMONSTRATIONS is what `calvinbench record` made, see the head of the configuration
# `comparison`; DEMONSTRATIONS-375, DEMONSTRATIONS-750 (its first episodes) and DEMONSTRATIONS-clean (375 without noise and
# kicks) are needed for `data-...` alone. CALVINBENCH is the command, by default the one on the path.
set -euo pipefail
demonstrations=$1 out=$2
shift 2
wanted=("$@")
python=$(dirname "$(command -v "${CALVINBENCH:-calvinbench}")")/python
common=num_layers=1,hidden_dim=384,chunk_length=6,chunk_rule=ensemble
state=proprioception=true

is_wanted() {
  [ ${#wanted[@]} = 0 ] && return 0
  for prefix in "${wanted[@]}"; do [[ $1 == "$prefix"* ]] && return 0; done
  return 1
}

# train NAME SPEC [flags of `calvinbench train`]: 24 windows of 8 frames a step, unless flags say otherwise
train() {
  local name=$1 spec=$2
  shift 2
  is_wanted "$name" || return 0
  OMP_NUM_THREADS=1 "$python" -m torch.distributed.run --nproc_per_node 2 -m calvinbench.harness.cli train comparison \
    --batch-size 12 --data "$demonstrations" --policy "untrained:$spec,$common" --out "$out/$name" "$@"
}

# The seven, minilm-effnet with its published weights (frozen, what joins them trains), and the reference that is no VLM.
window=memory_span=window:8
train paligemma "paligemma,$window,$state"
train cnn "cnn,$window,$state"
train llava "llava,$window,$state"
train flamingo "flamingo,$window,$state"
train moondream "moondream,$window,$state"
train uform "uform,$window,$state"
train kosmos2 "kosmos2,$window,$state"
train qwen-vl "qwen-vl,image_size=112,$window,$state"
train minilm-effnet "minilm-effnet,vlm=published,image_size=80,$window,$state" \
  --freeze-backbone true --train-connector true

# Other training seeds: weights and order of the data.
for seed in 1 2; do
  for name in paligemma cnn llava; do
    train "$name-seed$seed" "$name,$window,$state,seed=$seed" --seed "$seed"
  done
done

# Ablations of paligemma, 192 frames a step each.
train history-none "paligemma,head=feedforward,memory_span=none,$state" \
  --window-size 1 --batch-size 96 --effective-batch-size 192
train history-1 "paligemma,memory_span=window:1,$state" --window-size 1 --batch-size 96 --effective-batch-size 192
train history-16 "paligemma,memory_span=window:16,$state" --window-size 16 --batch-size 6 --effective-batch-size 12
train history-unbounded "paligemma,memory_span=unbounded,$state" \
  --window-size 32 --batch-size 3 --effective-batch-size 6
train cameras-static "paligemma,cameras=static,$window,$state"
train proprioception-none "paligemma,$window"
train readout-pooling "paligemma,readout=max-pooling,$window,$state"
for data in 375 750 clean; do
  train "data-$data" "paligemma,$window,$state" --data "$demonstrations-$data"
done
