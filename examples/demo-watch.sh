#!/bin/sh
# The agent at work: a simulated node, a git repository, and tend watch between them, which is told of a commit, of a
# change by hand and of a commit that is no spec. `make demo-watch` builds bin/tend and runs this from the top of the
# repository. DEMO_STAY=1 leaves all of it running until Ctrl-C, to look at the page.
set -eu

for need in git curl; do
	command -v "$need" >/dev/null || { echo "demo-watch: $need is missing" >&2; exit 1; }
done
dir=.tend/demo-watch
rm -rf "$dir"
mkdir -p "$dir"
top=$PWD
tend="$top/bin/tend"
cd "$dir"
running=
trap 'status=$?; kill $running 2>/dev/null || :; exit $status' EXIT

say() { printf '\n== %s\n' "$*"; }
# until TEXT waits until the agent's log holds it.
until_log() {
	n=0
	while ! grep -q "$1" watch.log; do
		n=$((n + 1))
		kill -0 "$agent" 2>/dev/null || n=1000
		[ "$n" -lt 300 ] || { echo "demo-watch: the agent never said: $1" >&2; cat watch.log >&2; exit 1; }
		sleep 0.1
	done
}
gitq() { git -c user.name=Anna -c user.email=anna@example.com "$@" >/dev/null 2>&1; }
push() {
	gitq -C home add -A
	gitq -C home commit -m "$1"
	gitq -C home push origin main
	printf '$ git commit -m "%s" && git push\n' "$1"
}
history() { printf '$ tend history -n 1\n' && "$tend" history --state-dir state -n 1; }

say "a node, simulated"
"$tend" simulate --listen 127.0.0.1:0 --state node.yaml >node.log 2>&1 &
running=$!
n=0
until grep -q '^ *tend plan' node.log; do n=$((n + 1)); [ "$n" -lt 100 ] || exit 1; sleep 0.1; done
endpoint=$(awk '$1 == "endpoint" { print $2 }' node.log)
fingerprint=$(awk '$1 == "fingerprint" { print $2 }' node.log)
secret() { sed -n "s/.*tokens: {$1: .*secret: \([-0-9a-f]*\)}.*/\1/p" node.yaml; }
umask 077
echo "tend@pve!apply=$(secret apply)" >token
somebody="root@pam!sandbox=$(secret sandbox)"
echo "it answers on $endpoint"

say "a repository with the spec of a homelab"
gitq init --bare -b main home.git
gitq init -b main home
gitq -C home remote add origin "$PWD/home.git"
cp -R "$top/examples/homelab" home/lxc
push "the homelab"

say "the agent"
cat >tend.yaml <<END
endpoint: $endpoint
fingerprint: "$fingerprint"
tokenFile: token
stateDir: state
lockDir: state
source: {git: $PWD/home.git, branch: main, path: lxc}
interval: 1m
web: {listen: "${DEMO_LISTEN:-127.0.0.1:0}"}
END
cat tend.yaml
"$tend" watch --config tend.yaml >watch.log 2>&1 &
agent=$!
running="$agent $running"
until_log 'result=converged'
sed -n 's/.*page=\([^ ]*\) .*/its page: \1/p' watch.log
history

say "a commit: media gets six cores"
sed -i 's/cores: 4/cores: 6/' home/lxc/containers/media.yaml
push "media: six cores"
"$tend" reconcile --state-dir state
until_log 'step="set cores"'
until_log 'trigger="asked for by'
history

say "a change by hand: somebody gives media two cores in the web interface"
curl -ksS --fail -X PUT -H "Authorization: PVEAPIToken=$somebody" --data cores=2 "$endpoint/api2/json/nodes/pve1/lxc/120/config" >/dev/null
before=$(grep -c 'step="set cores"' watch.log)
"$tend" reconcile --state-dir state
n=0
until [ "$(grep -c 'step="set cores"' watch.log)" -gt "$before" ]; do n=$((n + 1)); [ "$n" -lt 300 ] || exit 1; sleep 0.1; done
sleep 0.5
history

say "a commit that is no spec: it is refused, and the last good one stays in force"
sed -i 's/cores: 6/cores: six/' home/lxc/containers/media.yaml
push "media: a mistake"
"$tend" reconcile --state-dir state
until_log 'the spec is refused'
grep 'the spec is refused' watch.log
sleep 0.5
history

say "all that it did, and the plan that put the change by hand right"
"$tend" history --state-dir state
"$tend" history show 3 --state-dir state
if [ "${DEMO_STAY:-}" = 1 ]; then
	sed -n 's/.*page=\([^ ]*\) .*/look at \1, and end with Ctrl-C/p' watch.log
	wait "$agent"
fi
