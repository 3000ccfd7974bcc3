#!/usr/bin/env bash
# Measures seethink on a device, beside PyTorch where python3 has torch and transformers, and writes a table.
#
#     tests/gpu/run.sh [--device cuda|vulkan|flex] [--tiny] [--out DIR] [--program FILE] [--seconds N]
#
# In a kit (`cargo xtask gpu-kit`) the program is unpacked from beside the folder `tests`; elsewhere it is the one that
# `cargo build --release --package seethink-tests --example kit` leaves. Every part has a limit of time and all together
# have N seconds; a part that fails is said in the table and the next is begun. DIR, or $OUT, receives the table as it
# grows, `gpu.md`, and in the end what the parts printed, `gpu-logs.tar.gz`. Fails if any part of seethink has no figure.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
device=cuda tiny= out=${OUT:-$root/target/gpu} program= seconds=570
while [ $# -gt 0 ]; do
    case $1 in
        --tiny) tiny=1; shift ;;
        --device | --out | --program | --seconds)
            [ $# -gt 1 ] || { echo "$1 expects a value" >&2; exit 2; }
            declare "${1#--}=$2"; shift 2 ;;
        *) echo "unknown option $1; expected --device, --tiny, --out, --program or --seconds" >&2; exit 2 ;;
    esac
done

scratch=$(mktemp -d) || exit
results=$scratch/results
mkdir -p "$results" "$out" || exit
trap 'tar -czf "$out/gpu-logs.tar.gz" -C "$scratch" results; rm -rf "$scratch"' EXIT
if [ -z "$program" ] && [ -f "$root/kit.xz" ]; then
    program=$scratch/kit
    # Python has xz where there is no program of that name.
    { xz -dc "$root/kit.xz" || python3 -c 'import lzma, shutil, sys
shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$root/kit.xz"; } >"$program" 2>/dev/null
    chmod +x "$program"
fi
program=${program:-${CARGO_TARGET_DIR:-$root/target}/release/examples/kit}
if ! [ -s "$program" ]; then
    echo "there is no $program; build it: cargo build --release --package seethink-tests --example kit" >&2
    exit 2
fi

# NVRTC and the headers that kernels include, of the toolkit or of PyTorch's packages.
packages=$(python3 -c 'import nvidia; print(*nvidia.__path__, sep="\n")' 2>/dev/null)
for folder in ${packages:+"$packages"/*/lib}; do
    [ -d "$folder" ] && LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
done
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-} RUST_BACKTRACE=0
if [ -z "${CUDA_PATH:-}" ] && ! [ -d /usr/local/cuda ] && ! [ -x /usr/bin/nvcc ]; then
    for header in ${packages:+"$packages"/*/include/cuda_runtime.h}; do
        [ -f "$header" ] && export CUDA_PATH=${header%/include/cuda_runtime.h}
    done
fi
torch_device=$([ "$device" = flex ] && echo cpu || echo cuda)
torch=$(python3 -c "import torch, transformers
assert '$torch_device' == 'cpu' or torch.cuda.is_available(), 'PyTorch finds no device'
print('torch', torch.__version__ + ', transformers', transformers.__version__)" 2>"$scratch/torch.err") ||
    torch="no PyTorch ($(tail -n 1 "$scratch/torch.err"))"
card=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>/dev/null | head -n 1)
{
    echo "## ${card:-$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)}, \`$device\`${tiny:+, tiny settings}"
    echo
    echo "\`tests/gpu/run.sh --device $device${tiny:+ --tiny}\`, $(date -u +%F); beside $torch."
} >"$results/about.txt"

# Runs a part: its name, its limit in seconds, its input, its command.
part() {
    local name=$1 limit=$2 input=$3 left=$((seconds - SECONDS)) start=$SECONDS status sampler=
    shift 3
    printf '%b' "$input" >"$results/$name.in"
    if [ "$left" -lt 5 ]; then
        printf '%s\tskipped\t0\t\n' "$name" >>"$results/parts.tsv"
        return
    fi
    if [ -n "$card" ]; then
        nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -lms 200 >"$results/$name.mb" 2>/dev/null &
        sampler=$!
    fi
    timeout -k 5 $((limit < left ? limit : left)) "$@" <"$results/$name.in" >"$results/$name.out" 2>"$results/$name.err"
    status=$?
    [ -z "$sampler" ] || { kill "$sampler" && wait "$sampler"; } 2>/dev/null
    printf '%s\t%s\t%s\t%s\n' "$name" $status $((SECONDS - start)) \
        "$(sort -n "$results/$name.mb" 2>/dev/null | tail -n 1)" >>"$results/parts.tsv"
    echo "$name: status $status after $((SECONDS - start)) s" >&2
    "$program" table "$results" >"$out/gpu.md.partial" 2>/dev/null
    mv "$out/gpu.md.partial" "$out/gpu.md"
}

# Measures a work in seethink and in PyTorch: its name, the number format, the limits of either in seconds, and the
# measurements. The first answer to each is for warming up, the table has the second.
work() {
    local name=$1 dtype=$2 ours=$3 theirs=$4 input='' what
    shift 4
    for what in "$@"; do
        input+="$what\n"
        [ "$what" = load ] || input+="$what\n"
    done
    part "$name.seethink" "$ours" "$input" "$program" perf "$name" "$scratch/$name" --device "$device" --dtype "$dtype"
    case $torch in
        no*) printf '%s.pytorch\tabsent\t0\t\n' "$name" >>"$results/parts.tsv" ;;
        *) part "$name.pytorch" "$theirs" "$input" python3 "$root/tests/perf/compare.py" \
            --torch "$scratch/$name" --device "$torch_device" --dtype "$dtype" ;;
    esac
    rm -rf "${scratch:?}/$name"
}

# Devices other than the processor add up in another order.
slack=$([ "$device" = flex ] && echo 1 || echo 30)
parity() {
    part "parity-$1" 60 '' "$program" parity --fixtures "$root/tests/fixtures/models" \
        --device "$device" --dtype "$1" --slack "$slack"
}

parity f32
parity bf16
if [ -n "$tiny" ]; then
    part staged 60 '' "$program" staged --quick --device "$device" --out "$scratch/staged" \
        --set data.Digits.problems_per_capability=64 --set evaluation.problems_per_capability=16
    work W1 f32 30 60 'decode 8' log_probs update
    work W2 f32 30 60 'decode 8' log_probs
    work W3 f32 30 60 'decode 1'
    work tiny bf16 30 60 load prefill 'decode 1' 'decode 16' 'decode 64' gradients update matmul
else
    part staged 70 '' "$program" staged --quick --device "$device" --out "$scratch/staged"
    large=(load matmul prefill 'decode 1' 'decode 16' 'decode 64' gradients update)
    work 2B bf16 80 50 "${large[@]}"
    work 8B bf16 110 70 "${large[@]}"
    small=(rollout 'decode 1' 'decode 8' 'decode 32' 'decode 256' log_probs update matmul)
    work W1 f32 50 40 "${small[@]}"
    work W2 f32 50 40 "${small[@]}"
    work W3 f32 50 40 "${small[@]}"
fi
"$program" table "$results"
