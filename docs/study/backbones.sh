#!/usr/bin/env bash
# Trains the policies that the suites backbones, seeds, history and ablations compare, one after another.
#
#     docs/study/backbones.sh DEMONSTRATIONS OUT [NAME ...]     all of them, or those that a NAME is, or matches: 'history-*'
#
# A training that was stopped is resumed; one that is done is skipped. OUT/NAME/checkpoint is what suites call
# checkpoint:OUT/NAME/checkpoint. DEMONSTRATIONS is what `calvinbench record` made, see the head of the configuration
# `comparison`; DEMONSTRATIONS-quarter and DEMONSTRATIONS-half (its first 188 and 375 episodes) and DEMONSTRATIONS-clean (188
# without noise and kicks) are needed for `data-...` alone; docs/study/study.sh records them.
#
# PROCESSES is 2, for two cores; 1 is for one core or one GPU. PYTHON is the interpreter, by default that of `calvinbench`.
# FLAGS go to every training: FLAGS='--max-steps 40 --warmup-steps 10'.
set -euo pipefail
demonstrations=$1 out=$2
shift 2
wanted=("$@")
processes=${PROCESSES:-2}
python=${PYTHON:-$(dirname "$(command -v calvinbench)")/python}
# glibc gives freed memory back to the kernel, which hands it out again page by page: let it stay with the process.
export MALLOC_TRIM_THRESHOLD_=4000000000 MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TOP_PAD_=67108864
common=num_layers=1,hidden_dim=384,chunk_length=6,chunk_rule=ensemble
state=proprioception=true

is_wanted() {
  [ ${#wanted[@]} = 0 ] && return 0
  for pattern in "${wanted[@]}"; do [[ $1 == $pattern ]] && return 0; done # a pattern: unquoted
  return 1
}

# train NAME SPEC [flags of `calvinbench train`]: `windows` of `window` frames a step, 192 in all
train() {
  local name=$1 spec=$2 launch=() windows=${windows:-24} window=${window:-8}
  shift 2
  is_wanted "$name" || return 0
  [ "$processes" = 1 ] || launch=(-m torch.distributed.run --nproc_per_node "$processes")
  OMP_NUM_THREADS=1 "$python" "${launch[@]}" -m calvinbench.harness.cli train comparison \
    --batch-size $((windows / processes)) --effective-batch-size "$windows" --window-size "$window" \
    --data "$demonstrations" --policy "untrained:$spec,$common" --out "$out/$name" "$@" ${FLAGS:-} # several words
}

# The seven, minilm-effnet with its published weights (frozen, what joins them trains), and the reference that is no VLM.
memory=memory_span=window:8
train paligemma "paligemma,$memory,$state"
train cnn "cnn,$memory,$state"
train llava "llava,$memory,$state"
train flamingo "flamingo,$memory,$state"
train moondream "moondream,$memory,$state"
train uform "uform,$memory,$state"
train kosmos2 "kosmos2,$memory,$state"
train qwen-vl "qwen-vl,image_size=112,$memory,$state"
train minilm-effnet "minilm-effnet,vlm=published,image_size=80,$memory,$state" \
  --freeze-backbone true --train-connector true

# A second training seed of three, which the suite `seeds` runs: weights and order of the data.
for name in cnn-seed2 paligemma-seed1 llava-seed1; do
  seed=${name##*-seed}
  train "$name" "${name%-seed*},$memory,$state,seed=$seed" --seed "$seed"
done

# Ablations of paligemma.
windows=192 window=1 train history-none "paligemma,head=feedforward,memory_span=none,$state"
windows=192 window=1 train history-1 "paligemma,memory_span=window:1,$state"
windows=12 window=16 train history-16 "paligemma,memory_span=window:16,$state"
windows=6 window=32 train history-unbounded "paligemma,memory_span=unbounded,$state"
train cameras-static "paligemma,cameras=static,$memory,$state" --gripper-shift 0
train proprioception-none "paligemma,$memory"
train readout-pooling "paligemma,readout=max-pooling,$memory,$state"
for data in quarter half clean; do
  train "data-$data" "paligemma,$memory,$state" --data "$demonstrations-$data"
done
