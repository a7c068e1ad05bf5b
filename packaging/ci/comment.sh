#!/bin/sh
# comment.sh FILE puts a Markdown file on a pull request as a comment, or in the place of the comment that it made
# before. It needs curl and jq, and takes where it is from the environment that the CI gives:
#
#   GitHub, Gitea, Forgejo:  GITHUB_API_URL, GITHUB_REPOSITORY; GITHUB_TOKEN and PULL_REQUEST (its number) are given to it
#   GitLab:                  CI_API_V4_URL, CI_PROJECT_ID, CI_MERGE_REQUEST_IID; GITLAB_TOKEN, of a project, with scope api
set -eu

mark='<!-- tend plan -->'
most=60000 # bytes; GitHub takes 65,536 characters
body=$(mktemp)
trap 'rm -f "$body"' EXIT

{
	echo "$mark"
	if [ -s "$1" ]; then
		head -c "$most" "$1"
	else
		echo 'No plan could be made: the output of the job says why.'
	fi
	if [ "$(wc -c <"$1")" -gt "$most" ]; then
		printf '\n```\n\nIt goes on: see the output of the job.\n'
	fi
} | jq -Rs '{body: .}' >"$body"

if [ -n "${GITLAB_CI:-}" ]; then
	header="PRIVATE-TOKEN: $GITLAB_TOKEN"
	all=$CI_API_V4_URL/projects/$CI_PROJECT_ID/merge_requests/$CI_MERGE_REQUEST_IID/notes
	one=$all
	change=PUT
else
	header="Authorization: token $GITHUB_TOKEN"
	all=$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments
	one=$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/issues/comments
	change=PATCH
fi

# The token goes by standard input: everyone on the machine can read a command line.
call() {
	printf 'header = "%s"\n' "$header" | curl -sS --fail --config - -H 'Content-Type: application/json' "$@"
}

old=$(call "$all?per_page=100&limit=100" | jq -r --arg mark "$mark" \
	'map(select((.body // "") | startswith($mark))) | (first | .id) // empty')
if [ -n "$old" ]; then
	call -X "$change" --data-binary "@$body" "$one/$old" >/dev/null
else
	call -X POST --data-binary "@$body" "$all" >/dev/null
fi
