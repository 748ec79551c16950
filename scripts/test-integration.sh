#!/bin/sh
# The HTTP API from outside, on a private holdfast, offline: health, a task, its plan, its program, its answer.
# Prints a PASS or FAIL line for each check, and the plan and program that were read; exit code 0 if all passed.
. "$(dirname "$0")/stack.sh"

mkdir -p "$work/examples"
cp -R "$root/examples/inventory" "$work/examples/"
start

# api METHOD PATH [JSON]: the answer's body on stdout.
api() {
    "$python" - "http://127.0.0.1:$HOLDFAST_PORT$2" "$1" "${3:-}" <<'PYTHON'
import sys
import urllib.request

url, method, body = sys.argv[1:]
request = urllib.request.Request(url, body.encode() or None, {"Content-Type": "application/json"}, method=method)
with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=75) as answer:
    print(answer.read().decode())
PYTHON
}

has() {
    words=$1
    shift
    "$@" | grep -F -- "$words"
}

task=$(api POST /tasks '{"type": "agent", "input": "Review examples/inventory for bugs and security problems"}' |
    sed 's/^{"id":"\([^"]*\)".*/\1/')
check "the API is healthy" has '"status":"healthy"' api GET /health
check "a task ends" has '"state":"DONE"' api GET "/tasks/$task?wait=60"
check "it is in the list" has "$task" api GET /tasks
check "its steps have a plan" has '"name":"plan"' api GET "/tasks/$task/steps"
check "its program can be read" has skills api GET "/tasks/$task/program"
check "its answer can be read" has '"output"' api GET "/tasks/$task/result"
check "POST /agent/execute answers" has '"success":true' api POST /agent/execute '{"task": "List the files of examples/inventory"}'
check "GET /agent/results counts LLM calls" has '"llmCalls":2' api GET "/agent/results?taskId=$task"

printf '\n== plan and calls\n'
holdfast show "$task" --steps
printf '\n== program\n'
holdfast show "$task" --program
exit "$failed"
