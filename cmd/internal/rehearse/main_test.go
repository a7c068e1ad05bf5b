package rehearse_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets garbage pile up: thousands of small clusters come and go, of which hardly anything lives at a time,
// and collecting it took a third of the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
