package app_test

import "time"

// waitUntil looks every few milliseconds whether something has happened.
func waitUntil(fatal func(string, ...any), happened func() bool, format string, args ...any) {
	for deadline := time.Now().Add(time.Minute); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			fatal(format, args...)
			return
		}
	}
}
