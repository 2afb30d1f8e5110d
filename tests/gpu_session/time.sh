# How fast is it? About seven minutes: bash tests/gpu_session/time.sh   in the repository's root; README.md beside it says more.
# $OUT gets timings.json, timings.txt, gpu.md, perturbations.json, launches.json, ncu.txt, sanitizer.txt, log.txt.
. tests/gpu_session/setup.sh
# alone on the GPU, the most telling workloads first; what is measured when time is up is kept
timeout -s INT 170 python3 -m pytest benchmarks/test_step.py --benchmark-only -q -p no:cacheprovider \
  -k "cuda and not compile and not func and (default or 132 or 254 or 126 or 20)" --benchmark-max-time=1 \
  --benchmark-json=/tmp/timings.json > "$OUT/timings.txt" 2>&1
said "timings: exit $?"
cp /tmp/timings.json "$OUT/"
timeout 30 python3 -m benchmarks.documentation /tmp/timings.json --page "$OUT/gpu.md"
sed -n '/^## Timings/,$p' "$OUT/gpu.md" | cut -c1-170 | head -n 60
timeout 120 python3 $here/perturbations.py 2>&1 | tee -a "$OUT/log.txt"
said "perturbations"
timeout 90 python3 $here/launches.py 2>&1 | cut -c1-260 | tee -a "$OUT/log.txt"
said "launch shapes"
for trials in 132 1; do
  timeout 40 ncu --clock-control none --kernel-name-base mangled -k "regex:train_" --launch-skip 1 -c 1 \
    --section SpeedOfLight --section Occupancy --section SchedulerStats --section WarpStateStats --section InstructionStats \
    --section LaunchStats python3 $here/launches.py --shape 0 --trials $trials --profile >> "$OUT/ncu.txt" 2>&1
  said "ncu, $trials trials: exit $?"
done
timeout 40 ncu --clock-control none --kernel-name-base mangled -k "regex:losses|accumulate" --launch-skip 2 -c 2 \
  --section SpeedOfLight --section Occupancy --section WarpStateStats --section MemoryWorkloadAnalysis \
  python3 $here/perturbations.py --row "hidden 254: rank 1, signs" --profile >> "$OUT/ncu.txt" 2>&1
said "ncu, rank 1: exit $?"
grep -E 'train_|losses|accumulate|Duration|Executed Ipc Active|Issue Slots Busy|Eligible|Registers Per|Theoretical Occ|Achieved Occ|Throughput' \
  "$OUT/ncu.txt" | cut -c1-110
# memory and races, the tools beside each other
for tool in memcheck racecheck synccheck; do
  (
    echo "== $tool"
    timeout 75 compute-sanitizer --tool $tool --print-limit 10 --error-exitcode 7 \
      python3 $here/smoke.py --case "momentum, side by side"
    echo "exit $?"
  ) > /tmp/$tool.txt 2>&1 &
done
wait
for tool in memcheck racecheck synccheck; do
  grep -E '^==|SUMMARY|^exit|RESULT|Invalid|hazard|Barrier' /tmp/$tool.txt | cut -c1-220 | head -n 30
done | tee "$OUT/sanitizer.txt"
said "sanitizers"
