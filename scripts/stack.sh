# Sourced by its neighbours: a holdfast of their own in a temporary folder, on free ports, that ends with the script.
# No model's key reaches it, so the offline provider answers; set MODEL=provider:model to ask another.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=$root/.venv/bin/python
work=$(mktemp -d)
up=
failed=0

[ -x "$python" ] || { echo "no environment in $root/.venv; make it with: make setup" >&2; exit 1; }
if [ -z "${MODEL:-}" ]; then
    for name in $(env | sed -n 's/^\([A-Z_]*_API_KEY\)=.*/\1/p') DEFAULT_LLM_MODEL LLM_BASE_URL; do unset "$name"; done
    export DEFAULT_LLM_PROVIDER=offline
fi
unset API_KEY HOLDFAST_URL HOLDFAST_HOME DATABASE_URL

holdfast() { (cd "$work" && PYTHONPATH=$root exec "$python" -P -m cli.main "$@"); }

stop() {
    if [ -n "$up" ]; then
        # Until it writes it is a copy of this shell, which may lose the signal when it forgets our traps.
        until [ -e "$work/up.log" ] || ! kill -0 "$up" 2> /dev/null; do sleep 0.1; done
        kill "$up" && wait "$up" || true
    fi
    up=
}

finish() {
    stop
    rm -rf "$work"
}

start() {
    ports=$(cd "$root" && "$python" -c 'from holdfast.ports import free_port; print(*(free_port() for _ in range(3)))')
    # shellcheck disable=SC2086  # three words on purpose
    set -- $ports
    export HOLDFAST_PORT="$1" TEMPORAL_ADDRESS="127.0.0.1:$2" HOLDFAST_TEMPORAL_UI_PORT="$3"
    touch "$work/holdfast.yaml"
    rm -f "$work/up.log"
    # Not by the function: its process id would be that of a shell, and the signal would stop there.
    (cd "$work" && PYTHONPATH=$root exec "$python" -P -m cli.main up > "$work/up.log" 2>&1) &
    up=$!
    until grep -qs 'Ctrl-C stops everything' "$work/up.log"; do
        kill -0 "$up" 2> /dev/null || { cat "$work/up.log" >&2; exit 1; }
        sleep 0.2
    done
}

# check NAME COMMAND...: its output is shown if it fails.
check() {
    name=$1
    shift
    if "$@" > "$work/check.log" 2>&1; then
        echo "PASS  $name"
    else
        echo "FAIL  $name"
        sed 's/^/      /' "$work/check.log"
        failed=1
    fi
}

trap finish EXIT
trap 'exit 130' INT TERM HUP PIPE
