# Sourced by check.sh and time.sh, in the repository's root: carried packages, paths, and `said` for a line with the time.
set -u
export OUT=${OUT:-/tmp/out}
mkdir -p "$OUT"
said() { echo "== $SECONDS s: $*" | tee -a "$OUT/log.txt"; }
here=tests/gpu_session
if [ -d .whl ] && [ ! -d /tmp/site ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target /tmp/site .whl/*.whl || exit 9
fi
export PYTHONPATH=/tmp/site:$PWD/src PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/tmp/numba
export XLA_PYTHON_CLIENT_PREALLOCATE=false TORCHINDUCTOR_COMPILE_THREADS=8  # the peers share the card
# a toolkit without libdevice is worse than none: numba-cuda then looks nowhere else
[ -e /usr/local/cuda/nvvm/libdevice/libdevice.10.bc ] && export CUDA_HOME=/usr/local/cuda
