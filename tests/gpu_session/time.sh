# How fast is it? About five minutes: bash tests/gpu_session/time.sh   in the repository's root; README.md beside it says more.
# $OUT gets timings.csv, gpu.md, environment.json, launches.json, ncu.txt, sanitizer.txt, log.txt.
. tests/gpu_session/setup.sh
# alone on the GPU, the most telling workloads first; every row is on disk at once
timeout 180 python3 $here/timings.py bench --suite gpu --only timings --quick --time-limit 150 --out /tmp/timings > /tmp/timings.txt 2>&1
said "timings: exit $?"
cp /tmp/timings/timings.csv /tmp/timings/gpu.md /tmp/timings/environment.json "$OUT/"
sed -n '/^## Timings/,$p' "$OUT/gpu.md" | cut -c1-170 | head -n 60
timeout 90 python3 $here/launches.py 2>&1 | cut -c1-260 | tee -a "$OUT/log.txt"
said "launch shapes"
for trials in 132 1; do
  timeout 40 ncu --clock-control none --kernel-name-base mangled -k "regex:train_" --launch-skip 1 -c 1 \
    --section SpeedOfLight --section Occupancy --section SchedulerStats --section WarpStateStats --section InstructionStats \
    --section LaunchStats python3 $here/launches.py --shape 0 --trials $trials --profile >> "$OUT/ncu.txt" 2>&1
  said "ncu, $trials trials: exit $?"
done
grep -E 'train_|Duration|Executed Ipc Active|Issue Slots Busy|Eligible|Registers Per|Theoretical Occ|Achieved Occ|Throughput' \
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
