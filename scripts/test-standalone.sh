#!/bin/sh
# Agents and skills without a server of one's own: a private holdfast runs them offline and is ended again.
# Prints a PASS or FAIL line for each check; exit code 0 if all passed.
. "$(dirname "$0")/stack.sh"

says() {
    words=$1
    shift
    "$@" | grep -F -- "$words"
}

cp -R "$root/examples/own-skill/." "$work/"
mkdir -p "$work/examples"
cp -R "$root/examples/inventory" "$work/examples/"
cp "$root/examples/direct/agents/"*.yaml "$work/agents/"
cp -R "$root/examples/program/data" "$work/"
start

check "an agent reviews a project by a program" says security holdfast run "Review examples/inventory for bugs and security problems"
check "an agent of one's own answers at once" holdfast run "What is a stock keeping unit?" --agent shopkeeper
check "an agent uses a skill of one's own" says words holdfast run "Count the words in letter.txt" --agent editor
check "a skill runs by itself" says words holdfast skills run word-count --input '{"text": "one two"}'
check "a program of one's own calls skills" says '"north": 140.0' holdfast exec "$root/examples/program/totals.py"
check "skills of one's own are listed" says word-count holdfast skills
check "agents of one's own are listed" says shopkeeper holdfast agents

children=$(cd "$root" && "$python" -c "from cli.processes import descendants as d; print(*(one.pid for one in d($up)))")
stop
# shellcheck disable=SC2086  # several process ids on purpose
gone() { for pid in $children; do ! kill -0 "$pid" 2> /dev/null || return 1; done; }
check "nothing of it is left running" gone
exit "$failed"
