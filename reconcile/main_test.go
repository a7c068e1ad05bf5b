package reconcile_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets the heap grow more between collections: the tests with thousands of simulated nodes make much
// that is soon forgotten, and spend half of their time on collecting it otherwise.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
