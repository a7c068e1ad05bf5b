//go:build race

package retention_test

const underRace = true
