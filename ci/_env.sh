# Shared by the scripts of this folder: sourced, never run.
#
# Makes or re-uses a virtual environment with the package and its tools installed, and leaves
#   PY    its interpreter
#   PATH  with its programs first
# Settings: AGENTMEM_PYTHON (interpreter to make it with), AGENTMEM_VENV (folder, default .venv).

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
exec </dev/null # nothing here may wait for an answer
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PYTHONUNBUFFERED=1
# A setting of the caller's shell must not decide which code or which store is tried.
unset PYTHONPATH AGENTMEM_STORE

step() { printf '\n==> %s\n' "$*"; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# "1 min 04 s" of a number of seconds.
took() { printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); }

find_python() {
  local candidate
  for candidate in ${AGENTMEM_PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
      >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
  done
  fail "no Python 3.11 or newer with venv and ensurepip was found; install one, or name it in AGENTMEM_PYTHON"
}

# understand MODULE ARGUMENT...: help and mistakes are told before anything is built or installed, by
# the module's options_of, which needs only Python itself.
understand() {
  local module=$1
  shift
  PYTHONPATH=$root/asv_benchmarks "$(find_python)" -c \
    "import sys; from $module import options_of; options_of(sys.argv[1:])" "$@"
  case " $* " in *" -h "* | *" --help "*) exit ;; esac
}

# One line that changes when anything that is built or installed changes.
fingerprint() {
  "$PY" - <<'PYTHON'
import hashlib
import sys
from pathlib import Path

digest = hashlib.blake2b(sys.version.encode(), digest_size=16)
made_by_builds = {".so", ".pyd", ".pyc"}
files = [p for p in Path("src").rglob("*") if p.is_file() and p.suffix not in made_by_builds]
top = [p for p in map(Path, ("CMakeLists.txt", "pyproject.toml", "README.md")) if p.exists()]
for path in sorted(files) + top:
    if "bundled" not in path.parts:
        digest.update(f"{path.as_posix()}\0".encode())
        digest.update(path.read_bytes())
print(digest.hexdigest())
PYTHON
}

# ensure_env EXTRA...: an environment with the package and these extras installed.
ensure_env() {
  local venv=${AGENTMEM_VENV:-.venv} stamp python mark have extra wanted
  case $venv in /*) ;; *) venv=$root/$venv ;; esac
  if [ ! -x "$venv/bin/python" ]; then
    python=$(find_python)
    step "Making an environment in $(basename "$venv") with $("$python" --version)"
    "$python" -m venv "$venv"
  fi
  PY=$venv/bin/python
  export PATH=$venv/bin:$PATH

  # The stamp holds the fingerprint of what was installed, then the extras it came with.
  stamp=$venv/.agentmem-installed
  mark=$(fingerprint)
  have=$(cat "$stamp" 2>/dev/null || true)
  wanted=${have#"${have%% *}"}
  for extra in "$@"; do
    case " $wanted " in *" $extra "*) ;; *) wanted="$wanted $extra" ;; esac
  done
  wanted=${wanted# }
  if [ "$have" = "$mark${wanted:+ $wanted}" ]; then
    return
  fi

  command -v "${CC:-cc}" >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ||
    fail "a C compiler is needed to build the kernels; install one (gcc or clang), or name it in CC"
  step "Building and installing agentmem${wanted:+ with its tools for: $wanted}"
  rm -f "$stamp"
  "$PY" -m pip install --quiet --quiet --progress-bar off ".${wanted:+[${wanted// /,}]}"
  "$PY" -I - "$root" <<'PYTHON'
import pathlib
import sys

import agentmem

where = pathlib.Path(agentmem.__file__).resolve()
if where.is_relative_to(pathlib.Path(sys.argv[1], "src").resolve()):
    sys.exit(f"agentmem is imported from {where}, not from the installed package")
PYTHON
  printf '%s\n' "$mark${wanted:+ $wanted}" >"$stamp"
}

# provision NAME...: models on this machine before anything needs them (nothing to do if they are).
provision() {
  local name
  for name in "$@"; do
    step "Model $name"
    agentmem models pull "$name"
  done
}
