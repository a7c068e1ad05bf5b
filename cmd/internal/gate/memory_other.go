//go:build !linux

package main

// inMemory is false where nobody has looked yet.
func inMemory(string) bool { return false }
