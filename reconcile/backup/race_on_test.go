//go:build race

package backup_test

// underRace: the race detector makes everything slower.
const underRace = true
