//go:build !race

package snapshot_test

const underRace = false
