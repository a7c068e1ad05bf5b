// Package house holds the rules of the house: who may import whom, how long a function may be, which words
// have no place in the repository. Its tests hold the repository against them, so that the rules are
// enforced and not only described (docs/architecture.md).
//
// The rules work on plain values, so that each can be shown to find what it is for. Nothing in tend imports
// this package.
package house
