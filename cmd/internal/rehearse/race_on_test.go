//go:build race

package rehearse_test

// underRace says that the race detector is on, which makes all slower: some tests then try fewer cases.
const underRace = true
