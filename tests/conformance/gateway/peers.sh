#!/usr/bin/env bash
# Installs the gateways that ours is compared with, each into a virtual environment of its own
# under .live/peers/ (about 2 GB; nothing outside that folder is touched). Safe to run again.
#
#   tests/conformance/gateway/peers.sh                    all of them
#   tests/conformance/gateway/peers.sh litellm            one: litellm, optillm or its_hub
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
peers="$root/.live/peers"
python="${PYTHON:-python3}"
wanted="${*:-litellm optillm its_hub}"

mkdir -p "$peers"
echo '*' > "$root/.live/.gitignore"

install() {  # NAME PACKAGE...
    local name="$1"
    shift
    [ -x "$peers/$name/bin/python" ] || "$python" -m venv "$peers/$name"
    "$peers/$name/bin/pip" install --quiet --disable-pip-version-check "$@"
}

for name in $wanted; do
    case "$name" in
        litellm) install litellm "litellm[proxy]>=1.108" prometheus-client prisma ;;
        its_hub) install its_hub "its_hub[iaas]==1.2.0" ;;
        optillm)
            # What its server imports, as its proxy image has it: no PyTorch, no models.
            install optillm --no-deps "optillm==0.4.0"
            install optillm numpy networkx openai "z3-solver<=4.15.4.0" aiohttp flask \
                azure-identity tiktoken litellm requests beautifulsoup4 lxml cerebras_cloud_sdk \
                PyYAML math-verify sympy httpx "mcp<3,>=2" ;;
        *) echo "unknown gateway '$name': give litellm, optillm or its_hub" >&2; exit 2 ;;
    esac
done
