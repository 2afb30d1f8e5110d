# Is it right? About four minutes: bash tests/gpu_session/check.sh   in the repository's root; README.md beside it says more.
# $OUT gets smoke.json, pytest.txt, sweep.txt, log.txt.
. tests/gpu_session/setup.sh
nproc >> "$OUT/log.txt"
said "$(nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader)"
python3 -m freewalk info 2>&1 | tee -a "$OUT/log.txt"
# on a fresh machine the processor's kernels compile for 20 s: once, beside the smoke test
timeout 100 python3 -m freewalk sweep --task shifted-sums --epochs 1 --steps-per-epoch 1 --backend cpu --out /tmp/warm \
  > /tmp/warm.txt 2>&1 &
warm=$!
timeout 150 python3 $here/smoke.py > /tmp/smoke.txt 2>&1
said "smoke: exit $?"
cat /tmp/smoke.txt | tee -a "$OUT/log.txt" | cut -c1-210
wait $warm

# both at once: nothing is timed here
parallel=$(python3 -c 'import xdist; print("-n 10")' 2> /dev/null)
(
  timeout 170 python3 -m pytest -q -m gpu $parallel -p no:cacheprovider --tb=short tests/kernels/cuda/test_cuda_on_a_gpu.py \
    tests/kernels/cuda/test_cuda_cases_on_a_gpu.py tests/kernels/cuda/test_cuda_tables.py \
    tests/kernels/cuda/test_cuda_family_on_a_gpu.py
  echo "exit $?"
) > "$OUT/pytest.txt" 2>&1 &
(
  for backend in cuda cpu; do
    timeout 100 python3 -m freewalk sweep --grid quickstart --seeds 0:5 --backend $backend --out /tmp/sweep-$backend \
      > /tmp/sweep-$backend.txt 2>&1
    echo "$backend: exit $?"
    tail -n 5 /tmp/sweep-$backend.txt
  done
  python3 $here/summary.py /tmp/sweep-cuda /tmp/sweep-cpu
) > "$OUT/sweep.txt" 2>&1 &
wait
said "pytest, sweeps"
grep -E '^(FAILED|ERROR)|passed|failed' "$OUT/pytest.txt" | head -n 20
head -n 20 "$OUT/sweep.txt"
