#!/usr/bin/env bash
# Installs what the benchmarks compare ours with, each into a virtual environment of its own under
# .live/peers/ (nothing outside that folder is touched). Safe to run again.
#
#   benchmarks/peers/install.sh                all of them
#   benchmarks/peers/install.sh sot            one: sot, llmcompiler, optillm, its_hub or langgraph
#
# SoT and LLMCompiler are no packages: their repositories are fetched at the commit named below, and
# what they import is installed in the versions that they ask for.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
peers="$root/.live/peers"
python="${PYTHON:-python3}"

mkdir -p "$peers"
[ -e "$root/.live/.gitignore" ] || echo '*' > "$root/.live/.gitignore"

install() {  # NAME PACKAGE...
    local name="$1"
    shift
    [ -x "$peers/$name/bin/python" ] || "$python" -m venv "$peers/$name"
    "$peers/$name/bin/pip" install --quiet --disable-pip-version-check "$@"
}

fetch() {  # NAME REPOSITORY COMMIT
    local source="$peers/$1/source"
    [ -d "$source/.git" ] || git init --quiet "$source"
    git -C "$source" fetch --quiet --depth 1 "https://github.com/$2" "$3"
    git -C "$source" checkout --quiet FETCH_HEAD
}

for name in ${*:-sot llmcompiler optillm its_hub langgraph}; do
    case "$name" in
        sot)
            install sot "openai<1" tenacity tqdm termcolor
            fetch sot imagination-research/sot 54f506fee30b762f794321f56d9fc1daeac438bf ;;
        llmcompiler)
            install llmcompiler bs4==0.0.1 langchain==0.2.6 langchain-community==0.2.6 \
                numexpr==2.8.7 tiktoken==0.5.2 openai==1.3.7 "httpx<0.28"
            fetch llmcompiler SqueezeAILab/LLMCompiler a00c9d35507507da70e8c637eee64efc8c1857ae ;;
        langgraph) install langgraph "langgraph>=1.2" "langchain-openai>=1.7" aiohttp orjson ;;
        optillm | its_hub) bash "$root/tests/conformance/gateway/peers.sh" "$name" ;;
        *) echo "unknown peer '$name': give sot, llmcompiler, optillm, its_hub or langgraph" >&2
           exit 2 ;;
    esac
done
