//go:build !race

package rehearse_test

const underRace = false
